"""Calibration: whether 30 % means that 30 of 100 such patients have the outcome.

Where a logit is taken, predictions beyond 1e-8 and 1 - 1e-8 are moved there, with a `TreatselWarning`
that counts them.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from treatsel._checks import check_choice, check_level
from treatsel.metrics._calibration_curve import calibration_curve, calibration_errors, calibration_groups
from treatsel.metrics._calibration_results import CalibrationCurve, CalibrationErrors, CalibrationLine
from treatsel.metrics._inputs import Scored, check_predicted
from treatsel.metrics._intervals import Interval, clopper_pearson, wald
from treatsel.metrics._logistic import fit_logistic
from treatsel.metrics._logit import logits
from treatsel.metrics._result import Estimate, estimate_of, not_estimable

__all__ = [
    "CalibrationCurve",
    "CalibrationErrors",
    "CalibrationLine",
    "calibration_curve",
    "calibration_errors",
    "calibration_groups",
    "calibration_in_the_large",
    "calibration_line",
    "calibration_slope",
    "observed_expected_ratio",
]

ONE_CLASS = "the outcome has one class only"
NO_LINE = "one class only, equal predictions, or predictions that separate the classes"


def calibration_in_the_large(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Intercept of a logistic recalibration with the slope held at 1.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        On the logit scale; 0 is perfect, negative: predictions are too high on average. Wald interval. NaN
        with one class. (R's rms prints another number as "Intercept": the one of `calibration_line`.)

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7

    Examples
    --------
    >>> round(calibration_in_the_large([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3]).value, 3)
    0.827
    """
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    constant = np.ones((len(data.score), 1))
    fit = fit_logistic(constant, data.outcome, data.weight, offset=logits(data.score))
    if fit is None:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    return _wald_estimate(data, fit.coefficients[0], fit.se[0], level=level)


def calibration_slope(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Slope of the logistic regression of the outcome on the logit of the prediction.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        1 is perfect; below 1: predictions are too extreme (overfitting); above 1: too timid. Wald interval.
        NaN with one class, with equal predictions, or if the predictions separate the classes.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7

    Examples
    --------
    >>> round(calibration_slope([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3]).value, 3)
    2.305
    """
    return calibration_line(y_true, y_prob, sample_weight=sample_weight, level=level).slope


def calibration_line(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> CalibrationLine:
    """Intercept and slope of logistic recalibration, fitted together.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    CalibrationLine
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
    >>> line = calibration_line([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3])
    >>> round(line.intercept.value, 3), round(line.slope.value, 3)
    (1.541, 2.305)
    """
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    design = np.column_stack([np.ones(len(data.score)), logits(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    if fit is None:
        nothing = not_estimable(NO_LINE, n=data.n, n_events=data.n_events, level=level)
        return CalibrationLine(intercept=nothing, slope=nothing, covariance=float("nan"))
    return CalibrationLine(
        intercept=_wald_estimate(data, fit.coefficients[0], fit.se[0], level=level),
        slope=_wald_estimate(data, fit.coefficients[1], fit.se[1], level=level),
        covariance=float(fit.covariance[0, 1]),
    )


def observed_expected_ratio(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Literal["log", "natural"] = "log",
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Observed number of events over the number expected (the sum of the predictions).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    interval : {"log", "natural"}, default "log"
        Scale of the Wald interval: with O events of N patients and E expected, the standard error is
        sqrt((1 - O/N) / O) on the log scale, sqrt(O (1 - O/N)) / E on the natural one.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        0 or more; 1 is perfect, below 1: predictions are too high on average. `se` is on the scale of
        `interval`. With no events, or with events only, the interval is the exact one (Clopper-Pearson) of
        O/N over E/N. NaN if nothing is expected.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Debray et al. (2017), BMJ 356, i6460. doi:10.1136/bmj.i6460

    Examples
    --------
    >>> ratio = observed_expected_ratio([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3])
    >>> round(ratio.value, 3), round(ratio.lower, 3), round(ratio.upper, 3)
    (1.429, 0.698, 2.922)
    """
    check_choice("interval", interval, ["log", "natural"])
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    expected = float(data.weight @ data.score)
    if not expected:
        reason = "every predicted probability is 0"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
    ratio, spread = data.events / expected, 1 - data.prevalence
    method, se = f"Wald on the {interval} scale", float("nan")
    if not data.has_both:
        exact = clopper_pearson(data.events, data.total, level)
        limits = Interval(*(limit * data.total / expected for limit in exact))
        method = "exact (Clopper-Pearson): the outcome has one class only"
    elif interval == "log":
        se = float(np.sqrt(spread / data.events))
        limits = Interval(*(float(np.exp(limit)) for limit in wald(np.log(ratio), se, level)))
    else:
        se = float(np.sqrt(data.events * spread)) / expected
        limits = wald(ratio, se, level, low=0)
    return estimate_of(data, ratio, limits, se=se, level=level, method=method)


def _wald_estimate(data: Scored, value: Any, se: Any, *, level: float) -> Estimate:
    limits = wald(float(value), float(se), level)
    return estimate_of(
        data, float(value), limits, se=float(se), level=level, method="Wald on the logit scale"
    )
