"""Wald and profile-likelihood estimates of a logistic recalibration, shared by intercept and slope."""

from typing import Any, Literal

import numpy as np

from treatsel._checks import FloatArray
from treatsel._stats.estimate import Estimate, estimate_of
from treatsel._stats.intervals import wald
from treatsel._stats.logistic import LogisticFit, profile_limits
from treatsel._stats.vectors import Scored, check_labels, check_patients, codes_of
from treatsel.errors import InputError

ONE_CLASS = "the outcome has one class only"
Likelihood = Literal["wald", "profile"]


def _codes(clusters: Any, data: Scored, y_true: Any, *, interval: str = "wald") -> FloatArray | None:
    if clusters is None:
        return None
    if interval == "profile":
        raise InputError(
            "interval='profile' knows no clusters; use interval='wald', which is cluster-robust."
        )
    check_patients(y_true=y_true, clusters=clusters)
    return codes_of(check_labels("clusters", clusters)[data.rows])


def _named(method: str, codes: FloatArray | None) -> tuple[str, int | None]:
    """Return the name of the interval and the degrees of freedom that clusters give it."""
    if codes is None:
        return method, None
    count = len(np.unique(codes))
    if count < 2:
        return "no interval: it needs at least two clusters", None
    return f"{method}, cluster-robust, {count} clusters, t with {count - 1} df", count - 1


def _wald_estimate(data: Scored, value: Any, se: Any, *, codes: FloatArray | None, level: float) -> Estimate:
    method, df = _named("Wald on the logit scale", codes)
    limits = wald(float(value), float(se), level, df=df)
    return estimate_of(data, float(value), limits, se=float(se), level=level, method=method)


def _profile_estimate(
    data: Scored, fit: LogisticFit, design: FloatArray, *, offset: FloatArray | None = None, level: float
) -> Estimate:
    """Return the last coefficient with its profile-likelihood interval."""
    last = design.shape[1] - 1
    limits = profile_limits(fit, design, data.outcome, data.weight, column=last, level=level, offset=offset)
    value, se = float(fit.coefficients[last]), float(fit.se[last])
    return estimate_of(data, value, limits, se=se, level=level, method="profile likelihood")
