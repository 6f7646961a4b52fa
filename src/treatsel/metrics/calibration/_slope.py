"""Calibration slope, and the logistic recalibration line (intercept and slope together)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import check_choice, check_level
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.logistic import fit_logistic
from treatsel._stats.logits import clipped, logits_of
from treatsel._stats.vectors import Scored, check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.calibration._recalibration import (
    ONE_CLASS,
    Likelihood,
    _clustering,
    _profile_estimate,
    _robust,
    _wald_estimate,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class RecalibrationFit(Summarized):
    """Logistic recalibration line: logit(observed) = intercept + slope x logit(predicted).

    Attributes
    ----------
    intercept, slope : Estimate
        Estimated jointly; `calibration_in_the_large` is the intercept with the slope fixed at 1.
    covariance : float
        Covariance of the two estimates.
    """

    intercept: Estimate
    slope: Estimate
    covariance: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row each for intercept and slope."""
        rows = [self.intercept.to_dict(), self.slope.to_dict()]
        return pd.DataFrame(rows, index=pd.Index(["intercept", "slope"], name="parameter"))


def calibration_slope(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Likelihood = "wald",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Calibration slope: logistic regression coefficient of the logit of the prediction.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    interval : {"wald", "profile"}, default "wald"
        Wald interval, or profile-likelihood interval (the values that a likelihood-ratio test does not
        reject). The latter is better in small cohorts, but not available with clusters.
    clusters : array-like of shape (n_patients,), optional
        Sites or other clusters, for a cluster-robust standard error and Student's t with the number of
        clusters - 1 degrees of freedom. With fewer than two clusters there is no interval.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        A profile interval is not available with sampling weights.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        1 is perfect; below 1 if predictions are too extreme (overfitting), above 1 if they are not extreme
        enough. NaN if the outcome has only one class, or if the predictions are all equal or separate the
        classes.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], or a profile interval is
        requested with clusters or sampling weights.

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7
    Venzon & Moolgavkar (1988), Applied Statistics 37(1), 87-94. doi:10.2307/2347496
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317

    Examples
    --------
    >>> round(calibration_slope([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3]).value, 3)
    2.305
    """
    check_choice("interval", interval, ["wald", "profile"])
    if interval == "wald":
        line = logistic_recalibration(
            y_true,
            y_prob,
            clusters=clusters,
            sample_weight=sample_weight,
            weights_are=weights_are,
            level=level,
        )
        return line.slope
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    _clustering(clusters, data, y_true, interval=interval)
    design = np.column_stack([np.ones(len(data.score)), logits_of(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    if fit is None:
        return not_estimable(_no_line(data), n=data.n, n_events=data.n_events, level=level)
    return _profile_estimate(data, fit, design, level=level)


def logistic_recalibration(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> RecalibrationFit:
    """Logistic recalibration: intercept and slope, estimated jointly.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    clusters : array-like of shape (n_patients,), optional
        Sites or other clusters, for a cluster-robust standard error and Student's t with the number of
        clusters - 1 degrees of freedom. With fewer than two clusters there is no interval.
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
        `.intercept` (0 is perfect) and `.slope` (1 is perfect), each with a Wald interval on the logit
        scale. NaN as in `calibration_slope`.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Miller, Hui & Tierney (1991), Statistics in Medicine 10(8), 1213-1226. doi:10.1002/sim.4780100805

    Examples
    --------
    >>> line = logistic_recalibration([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3])
    >>> round(line.intercept.value, 3), round(line.slope.value, 3)
    (1.541, 2.305)
    """
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level, clustering = check_level(level), _clustering(clusters, data, y_true)
    design = np.column_stack([np.ones(len(data.score)), logits_of(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    if fit is None:
        nothing = not_estimable(_no_line(data), n=data.n, n_events=data.n_events, level=level)
        return RecalibrationFit(intercept=nothing, slope=nothing, covariance=float("nan"))
    fit = _robust(fit, design, data, clustering)
    intercept, slope = (
        _wald_estimate(data, fit.coefficients[term], fit.se[term], clustering=clustering, level=level)
        for term in (0, 1)
    )
    return RecalibrationFit(
        intercept=intercept,
        slope=slope,
        covariance=float(fit.covariance[0, 1]),
    )


def _no_line(data: Scored) -> str:
    """Return the reason why there is no recalibration line."""
    if not data.has_both:
        return ONE_CLASS
    probability = clipped(data.score)
    if probability.min() == probability.max():
        return "all predictions are equal, so that slope and intercept are not identifiable"
    return "the predictions separate the classes, so that the slope has no finite estimate"
