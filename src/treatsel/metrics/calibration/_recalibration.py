"""Wald and profile-likelihood estimates of a logistic recalibration, shared by intercept and slope."""

from typing import Any, Literal

from treatsel._checks import FloatArray
from treatsel._stats.clusters import Clusters, check_clusters
from treatsel._stats.estimate import Estimate, estimate_of
from treatsel._stats.logistic import LogisticFit, clustered, profile_limits
from treatsel._stats.vectors import Scored
from treatsel.errors import InputError

ONE_CLASS = "the outcome has one class only"
Likelihood = Literal["wald", "profile"]


def _clustering(clusters: Any, data: Scored, y_true: Any, *, interval: str = "wald") -> Clusters:
    """Return the clusters; raise if a profile likelihood is requested with clusters or sampling weights."""
    if interval == "profile" and (clusters is not None or data.weights.sampling):
        given = "clusters" if clusters is not None else "sampling weights"
        raise InputError(
            f"interval='profile' needs a likelihood and is not available with {given}. Use interval='wald'."
        )
    return check_clusters(clusters, data, y_true)


def _robust(
    fit: LogisticFit,
    design: FloatArray,
    data: Scored,
    clustering: Clusters,
    *,
    offset: FloatArray | None = None,
) -> LogisticFit:
    """Return the fit with the covariance that clusters or sampling weights need, otherwise unchanged."""
    units = data.weights.units(clustering.codes)
    if units is None:
        return fit
    return clustered(fit, design, data.outcome, data.weight, units, offset=offset)


def _wald_estimate(data: Scored, value: Any, se: Any, *, clustering: Clusters, level: float) -> Estimate:
    limits = clustering.limits(float(value), float(se), level)
    method = clustering.method("Wald on the logit scale", float(se))
    return estimate_of(data, float(value), limits, se=float(se), level=level, method=method)


def _profile_estimate(
    data: Scored, fit: LogisticFit, design: FloatArray, *, offset: FloatArray | None = None, level: float
) -> Estimate:
    """Return the last coefficient with its profile-likelihood interval."""
    last = design.shape[1] - 1
    limits = profile_limits(fit, design, data.outcome, data.weight, column=last, level=level, offset=offset)
    value, se = float(fit.coefficients[last]), float(fit.se[last])
    return estimate_of(data, value, limits, se=se, level=level, method="profile likelihood")
