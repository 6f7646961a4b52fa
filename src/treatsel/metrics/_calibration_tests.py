"""Tests of calibration; public through `treatsel.metrics.calibration`."""

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from treatsel._stats.logistic import fit_logistic
from treatsel._stats.logits import logits
from treatsel._stats.vectors import check_predicted
from treatsel.metrics._calibration_curve import calibration_groups
from treatsel.metrics._calibration_results import CalibrationTest, ChiSquare, HosmerLemeshow

NAN = float("nan")


def calibration_test(
    y_true: npt.ArrayLike, y_prob: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
) -> CalibrationTest:
    """Likelihood-ratio tests of intercept and slope of logistic recalibration, together and one by one.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.

    Returns
    -------
    CalibrationTest
        `.weak` (2 degrees of freedom), `.in_the_large` and `.slope` (1 each), with chi-square statistic and
        p value, and the indexes D, U and Q of R's `val.prob`. With one class all are NaN; with equal
        predictions, or predictions that separate the classes, those that need the slope.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Miller, Hui & Tierney (1991), Statistics in Medicine 10(8), 1213-1226. doi:10.1002/sim.4780100805
    Harrell (2015), Regression Modeling Strategies, 2nd ed., section 10.9. doi:10.1007/978-3-319-19425-7

    Examples
    --------
    >>> test = calibration_test([0, 1, 1, 0, 1, 0], [0.2, 0.7, 0.5, 0.4, 0.3, 0.6])
    >>> round(test.weak.statistic, 3), test.weak.df, round(test.weak.p_value, 3)
    (0.079, 2, 0.961)
    """
    data = check_predicted(y_true, y_prob, sample_weight)
    x = logits(data.score)
    constant = np.ones((len(x), 1))
    as_is = float(-data.weight @ np.logaddexp(0, np.where(data.outcome == 1, -x, x)))
    shifted = fit_logistic(constant, data.outcome, data.weight, offset=x)
    line = fit_logistic(np.column_stack([constant, x]), data.outcome, data.weight)
    level = NAN if shifted is None else shifted.log_likelihood
    full = NAN if line is None else line.log_likelihood
    weak = _chi_square(full - as_is, 2)
    discrimination = NAN
    if data.has_both:
        share = data.prevalence
        null = data.total * (share * np.log(share) + (1 - share) * np.log1p(-share))
        discrimination = float((2 * (as_is - null) - 1) / data.total)
    unreliability = (weak.statistic - 2) / data.total
    return CalibrationTest(
        weak=weak,
        in_the_large=_chi_square(level - as_is, 1),
        slope=_chi_square(full - level, 1),
        discrimination=discrimination,
        unreliability=unreliability,
        quality=discrimination - unreliability,
        n=data.n,
        n_events=data.n_events,
        method="likelihood ratio" if line else "not estimable: one class, equal or separating predictions",
    )


def hosmer_lemeshow(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_groups: int = 10,
    sample_weight: npt.ArrayLike | None = None,
) -> HosmerLemeshow:
    """Hosmer-Lemeshow test of predictions that were not fitted to these patients.

    The sum over the groups of `calibration_groups` of (O - E)^2 / (n m (1 - m)), with m the mean prediction.
    The result depends on the number of groups, and it has little power: prefer `calibration_test`.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    n_groups : int, default 10
        Largest number of groups; equal predictions stay together.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.

    Returns
    -------
    HosmerLemeshow
        Chi-square statistic with as many degrees of freedom as groups. A group whose predictions are all 0,
        or all 1, adds nothing if it is right and makes the statistic infinite if it is not.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1] or `n_groups` is below 1.

    References
    ----------
    Hosmer, Lemeshow & Sturdivant (2013), Applied Logistic Regression, 3rd ed., section 5.2.
    doi:10.1002/9781118548387

    Examples
    --------
    >>> test = hosmer_lemeshow([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4], n_groups=2)
    >>> round(test.statistic, 3), test.df, round(test.p_value, 3)
    (1.934, 2, 0.38)
    """
    table = calibration_groups(y_true, y_prob, n_groups=n_groups, sample_weight=sample_weight)
    n, mean = table["n"].to_numpy(dtype=float), table["predicted"].to_numpy()
    apart, variance = (n * (table["observed"].to_numpy() - mean)) ** 2, n * mean * (1 - mean)
    safe = np.where(variance > 0, variance, 1.0)
    parts = np.where(variance > 0, apart / safe, np.where(apart > 0, np.inf, 0.0))
    test = _chi_square(float(parts.sum()) / 2, len(table))
    return HosmerLemeshow(statistic=test.statistic, df=test.df, p_value=test.p_value, table=table)


def _chi_square(half: float, df: int) -> ChiSquare:
    """Return the test of a difference of log-likelihoods."""
    statistic = max(2 * half, 0.0) if np.isfinite(half) else 2 * half
    return ChiSquare(statistic=float(statistic), df=df, p_value=float(chdtrc(df, statistic)))
