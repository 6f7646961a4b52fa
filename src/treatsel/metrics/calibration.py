"""Calibration: whether 30 % means that 30 of 100 such patients have the outcome.

Where a logit is taken, predictions beyond 1e-8 and 1 - 1e-8 are moved there, with a `TreatselWarning`
that counts them.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._stats.estimate import Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, clopper_pearson, standard_error, wald
from treatsel._stats.logistic import LogisticFit, clustered, fit_logistic, profile_limits
from treatsel._stats.logits import logits
from treatsel._stats.vectors import Scored, check_labels, check_patients, check_predicted, codes_of
from treatsel.errors import InputError
from treatsel.metrics._calibration_curve import calibration_curve, calibration_groups
from treatsel.metrics._calibration_errors import calibration_errors
from treatsel.metrics._calibration_results import (
    CalibrationCurve,
    CalibrationErrors,
    CalibrationLine,
    CalibrationTest,
    ChiSquare,
    HosmerLemeshow,
)
from treatsel.metrics._calibration_tests import calibration_test, hosmer_lemeshow

__all__ = [
    "CalibrationCurve",
    "CalibrationErrors",
    "CalibrationLine",
    "CalibrationTest",
    "ChiSquare",
    "HosmerLemeshow",
    "calibration_curve",
    "calibration_errors",
    "calibration_groups",
    "calibration_in_the_large",
    "calibration_line",
    "calibration_slope",
    "calibration_test",
    "hosmer_lemeshow",
    "observed_expected_ratio",
]

ONE_CLASS = "the outcome has one class only"
Likelihood = Literal["wald", "profile"]
NO_LINE = "one class only, equal predictions, or predictions that separate the classes"


def calibration_in_the_large(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Likelihood = "wald",
    groups: npt.ArrayLike | None = None,
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
    interval : {"wald", "profile"}, default "wald"
        Wald interval, or the profile-likelihood interval: what a likelihood-ratio test does not reject. The
        second is better in small cohorts; it knows no groups.
    groups : array-like of shape (n_patients,), optional
        Sites or other clusters: the standard error is then cluster-robust, with Student's t of the number
        of groups - 1. With fewer than two groups there is no interval.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        On the logit scale; 0 is perfect, negative: predictions are too high on average. NaN with one
        class. (R's rms prints another number as "Intercept": the one of `calibration_line`.)

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], or a profile interval is
        asked for groups.

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7
    Venzon & Moolgavkar (1988), Applied Statistics 37(1), 87-94. doi:10.2307/2347496
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317

    Examples
    --------
    >>> round(calibration_in_the_large([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3]).value, 3)
    0.827
    """
    check_choice("interval", interval, ["wald", "profile"])
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    codes = _codes(groups, data, y_true, interval=interval)
    constant, offset = np.ones((len(data.score), 1)), logits(data.score)
    fit = fit_logistic(constant, data.outcome, data.weight, offset=offset)
    if fit is None:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    if interval == "profile":
        return _profile_estimate(data, fit, constant, offset=offset, level=level)
    if codes is not None:
        fit = clustered(fit, constant, data.outcome, data.weight, codes, offset=offset)
    return _wald_estimate(data, fit.coefficients[0], fit.se[0], codes=codes, level=level)


def calibration_slope(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Likelihood = "wald",
    groups: npt.ArrayLike | None = None,
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
    interval : {"wald", "profile"}, default "wald"
        Wald interval, or the profile-likelihood interval: what a likelihood-ratio test does not reject. The
        second is better in small cohorts; it knows no groups.
    groups : array-like of shape (n_patients,), optional
        Sites or other clusters: the standard error is then cluster-robust, with Student's t of the number
        of groups - 1. With fewer than two groups there is no interval.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        1 is perfect; below 1: predictions are too extreme (overfitting); above 1: too timid. NaN
        with one class, with equal predictions, or if the predictions separate the classes.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], or a profile interval is
        asked for groups.

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
        line = calibration_line(y_true, y_prob, groups=groups, sample_weight=sample_weight, level=level)
        return line.slope
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    _codes(groups, data, y_true, interval=interval)
    design = np.column_stack([np.ones(len(data.score)), logits(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    if fit is None:
        return not_estimable(NO_LINE, n=data.n, n_events=data.n_events, level=level)
    return _profile_estimate(data, fit, design, level=level)


def calibration_line(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
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
    groups : array-like of shape (n_patients,), optional
        Sites or other clusters: the standard error is then cluster-robust, with Student's t of the number
        of groups - 1. With fewer than two groups there is no interval.
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
    codes = _codes(groups, data, y_true)
    design = np.column_stack([np.ones(len(data.score)), logits(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    if fit is not None and codes is not None:
        fit = clustered(fit, design, data.outcome, data.weight, codes)
    if fit is None:
        nothing = not_estimable(NO_LINE, n=data.n, n_events=data.n_events, level=level)
        return CalibrationLine(intercept=nothing, slope=nothing, covariance=float("nan"))
    return CalibrationLine(
        intercept=_wald_estimate(data, fit.coefficients[0], fit.se[0], codes=codes, level=level),
        slope=_wald_estimate(data, fit.coefficients[1], fit.se[1], codes=codes, level=level),
        covariance=float(fit.covariance[0, 1]),
    )


def observed_expected_ratio(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Literal["log", "natural"] = "log",
    groups: npt.ArrayLike | None = None,
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
        sqrt((1 - O/N) / O) on the log scale, sqrt(O (1 - O/N)) / E on the natural one. With groups it comes
        from the sums of y - O/E x prediction over each group.
    groups : array-like of shape (n_patients,), optional
        Sites or other clusters: the standard error is then cluster-robust, with Student's t of the number
        of groups - 1. With fewer than two groups there is no interval.
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
    codes, expected = _codes(groups, data, y_true), float(data.weight @ data.score)
    if not expected:
        reason = "every predicted probability is 0"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
    ratio, spread = data.events / expected, 1 - data.prevalence
    if not data.has_both:
        exact = clopper_pearson(data.events, data.total, level)
        limits = Interval(*(limit * data.total / expected for limit in exact))
        method = "exact (Clopper-Pearson): the outcome has one class only"
        return estimate_of(data, ratio, limits, se=float("nan"), level=level, method=method)
    se = float(np.sqrt(spread / data.events))  # of log(O/E)
    if codes is not None:
        rest = standard_error(data.outcome - ratio * data.score, data.weight, codes)
        se = rest * data.total / data.events
    method, df = _named(f"Wald on the {interval} scale", codes)
    if interval == "log":
        limits = Interval(*(float(np.exp(limit)) for limit in wald(np.log(ratio), se, level, df=df)))
    else:
        se *= ratio
        limits = wald(ratio, se, level, df=df, low=0)
    return estimate_of(data, ratio, limits, se=se, level=level, method=method)


def _codes(groups: Any, data: Scored, y_true: Any, *, interval: str = "wald") -> FloatArray | None:
    if groups is None:
        return None
    if interval == "profile":
        raise InputError("interval='profile' knows no groups; use interval='wald', which is cluster-robust.")
    check_patients(y_true=y_true, groups=groups)
    return codes_of(check_labels("groups", groups)[data.rows])


def _named(method: str, codes: FloatArray | None) -> tuple[str, int | None]:
    """Return the name of the interval and the degrees of freedom that clusters give it."""
    if codes is None:
        return method, None
    count = len(np.unique(codes))
    if count < 2:
        return "no interval: it needs at least two groups", None
    return f"{method}, cluster-robust, {count} groups, t with {count - 1} df", count - 1


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
