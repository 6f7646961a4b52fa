"""Calibration of the benefit on the logit scale, without pairs or propensities; public through `benefit`."""

import dataclasses
from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray, check_choice
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.intervals import wald
from treatsel._stats.logistic import LogisticFit, fit_logistic
from treatsel._stats.logits import logits_of
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.benefit._arm_pair import ArmPair, check_pair, robust_covariance
from treatsel.metrics.calibration import RecalibrationFit

NO_FIT = "one class only, equal predictions, or predictions that separate the classes"


def logit_benefit_recalibration(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    among: Literal["both", "control", "treated"] = "both",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> RecalibrationFit:
    """Calibration of the benefit on the logit scale, given the prediction under the other arm.

    Among the treated, a logistic regression of the outcome with the logit of the prediction under control as
    offset, and intercept + slope x (difference between the logits of the two predictions); among the
    controls, the mirror image. The offset is assumed correct: miscalibration in one arm also affects the line
    of the other arm.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms.
    among : {"both", "control", "treated"}, default "both"
        Patients in whom the line is fitted.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, for cluster-robust standard errors with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    RecalibrationFit
        Intercept (0 is perfect) and slope (1 is perfect; below 1, predicted differences between the arms are
        too large) on the logit scale, with Wald intervals. NaN if the likelihood has no unique finite
        maximum.

    Raises
    ------
    InputError
        If lengths differ, an arm has no column or no patient, or an option is unknown.

    Warns
    -----
    TreatselWarning
        If predictions are 0 or 1; 1e-8 and 1 - 1e-8 are used instead.

    References
    ----------
    Hoogland et al. (2024), Statistics in Medicine 43(23), 4481-4498. doi:10.1002/sim.10186

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> by_arm = pd.DataFrame({"CBT": rng.uniform(0.2, 0.8, 2000), "SSRI": rng.uniform(0.2, 0.8, 2000)})
    >>> arm = rng.choice(["CBT", "SSRI"], 2000)
    >>> y = rng.binomial(1, np.where(arm == "CBT", by_arm["CBT"], by_arm["SSRI"]))
    >>> line = logit_benefit_recalibration(y, arm, by_arm, control="CBT", treated="SSRI")
    >>> bool(line.slope.lower < 1 < line.slope.upper)
    True
    """
    check_choice("among", among, ["both", "control", "treated"])
    labels: dict[str, Any] = {"control": control, "treated": treated}
    pair = check_pair(
        y_true,
        received,
        by_arm,
        **labels,
        sample_weight=sample_weight,
        weights_are=weights_are,
        clusters=clusters,
        level=level,
    )
    mine = np.full(len(pair.rows), True) if among == "both" else pair.treated == (among == "treated")
    pair = _subset(pair, mine)
    low, high = _logits(pair)
    sign = np.where(pair.treated, 1.0, -1.0)
    design = np.column_stack([sign, sign * (high - low)])
    offset = np.where(pair.treated, low, high)
    fit = fit_logistic(design, pair.outcome, pair.weight, offset=offset)
    if fit is None:
        nothing = not_estimable(NO_FIT, **pair.counts())
        return RecalibrationFit(intercept=nothing, slope=nothing, covariance=float("nan"))
    fit = _clustered(fit, design, offset, pair)
    estimates = [_coefficient(fit, position, pair) for position in (0, 1)]
    covariance = float(fit.covariance[0, 1])
    return RecalibrationFit(intercept=estimates[0], slope=estimates[1], covariance=covariance)


def logit_benefit_slope(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Regression for benefit: slope of the predicted benefit in a logistic regression of the outcome.

    logit P(outcome 1) = a + b x logit(prediction under control) + slope x benefit x treated, where benefit is
    the difference between the logits of the two predictions, and treated is 0 or 1. Unlike
    `logit_benefit_recalibration`, it also recalibrates prognosis.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        1 is perfect; below 1, predicted differences between the arms are too large. Wald interval. NaN if
        the likelihood has no unique finite maximum.

    Raises
    ------
    InputError
        If lengths differ, or an arm has no column or no patient.

    Warns
    -----
    TreatselWarning
        If predictions are 0 or 1; 1e-8 and 1 - 1e-8 are used instead.

    References
    ----------
    Efthimiou et al. (2023), Statistics in Medicine 42(8), 1188-1206. doi:10.1002/sim.9665

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> by_arm = pd.DataFrame({"CBT": rng.uniform(0.2, 0.8, 2000), "SSRI": rng.uniform(0.2, 0.8, 2000)})
    >>> arm = rng.choice(["CBT", "SSRI"], 2000)
    >>> y = rng.binomial(1, np.where(arm == "CBT", by_arm["CBT"], by_arm["SSRI"]))
    >>> slope = logit_benefit_slope(y, arm, by_arm, control="CBT", treated="SSRI")
    >>> bool(slope.lower < 1 < slope.upper)
    True
    """
    labels: dict[str, Any] = {"control": control, "treated": treated}
    pair = check_pair(
        y_true,
        received,
        by_arm,
        **labels,
        sample_weight=sample_weight,
        weights_are=weights_are,
        clusters=clusters,
        level=level,
    )
    low, high = _logits(pair)
    design = np.column_stack([np.ones(len(low)), low, pair.treated * (high - low)])
    fit = fit_logistic(design, pair.outcome, pair.weight)
    if fit is None:
        return not_estimable(NO_FIT, **pair.counts())
    return _coefficient(_clustered(fit, design, np.zeros(len(low)), pair), 2, pair)


def _subset(pair: ArmPair, mine: npt.NDArray[np.bool_]) -> ArmPair:
    return dataclasses.replace(
        pair,
        outcome=pair.outcome[mine],
        treated=pair.treated[mine],
        p_control=pair.p_control[mine],
        p_treated=pair.p_treated[mine],
        rows=pair.rows[mine],
        units=pair.units.subset(mine),
    )


def _clustered(fit: LogisticFit, design: FloatArray, offset: FloatArray, pair: ArmPair) -> LogisticFit:
    """Return the fit with a robust covariance if the patients have clusters or sampling weights."""
    if pair.units.weights.units(pair.units.codes) is None:
        return fit
    residual = pair.outcome - expit(offset + design @ fit.coefficients)
    covariance = robust_covariance(fit.covariance, design * residual[:, None], pair.units)
    return dataclasses.replace(fit, covariance=covariance)


def _coefficient(fit: LogisticFit, position: int, pair: ArmPair) -> Estimate:
    value, se = float(fit.coefficients[position]), float(fit.se[position])
    n_clusters = pair.units.n_clusters
    df = None if n_clusters is None else n_clusters - 1
    limits = wald(value, se, pair.units.level, df=df)
    method = (
        pair.units.weights.method("Wald")
        if df is None
        else f"Wald, cluster-robust, {n_clusters} clusters, t with {df} df"
    )
    return Estimate(
        value=value, lower=limits.lower, upper=limits.upper, method=method, se=se, **pair.counts()
    )


def _logits(pair: ArmPair) -> tuple[FloatArray, FloatArray]:
    both = logits_of(np.concatenate([pair.p_control, pair.p_treated]))
    return both[: len(pair.rows)], both[len(pair.rows) :]
