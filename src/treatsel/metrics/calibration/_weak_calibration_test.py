"""Weak calibration: likelihood-ratio tests; public through `treatsel.metrics.calibration`."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc

from treatsel._checks import FloatArray
from treatsel._reporting.summary import Summarized
from treatsel._stats.logistic import LogisticFit, clustered, fit_logistic
from treatsel._stats.logits import logits_of
from treatsel._stats.vectors import Scored, check_predicted
from treatsel._stats.weights import WeightsAre

NAN = float("nan")


@dataclass(frozen=True, kw_only=True, repr=False)
class ChiSquare(Summarized):
    """A chi-square test.

    Attributes
    ----------
    statistic, p_value : float
        NaN where the data do not allow the test.
    df : int
        Degrees of freedom.
    """

    statistic: float
    df: int
    p_value: float


@dataclass(frozen=True, kw_only=True, repr=False)
class WeakCalibrationTest(Summarized):
    """Likelihood-ratio tests of logistic recalibration, and Harrell's indexes D, U and Q.

    Attributes
    ----------
    weak : ChiSquare
        Test of weak calibration: intercept 0 and slope 1 jointly.
    in_the_large : ChiSquare
        Test of intercept 0, with the slope fixed at 1.
    slope : ChiSquare
        Test of slope 1, with a free intercept. The statistics of these two tests add up to that of `weak`.
    discrimination : float
        D: (likelihood-ratio statistic of the unmodified predictions against the prevalence - 1) / n.
    unreliability : float
        U: (statistic of `weak` - 2) / n.
    quality : float
        Q = D - U; higher is better.
    n, n_events : int
        Number of patients, and of patients with outcome 1.
    method : str
        Type of the tests, or why they are not estimable.
    """

    weak: ChiSquare
    in_the_large: ChiSquare
    slope: ChiSquare
    discrimination: float
    unreliability: float
    quality: float
    n: int
    n_events: int
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row per test; columns statistic, df, p_value."""
        tests = {"weak": self.weak, "in_the_large": self.in_the_large, "slope": self.slope}
        rows = [dataclasses.asdict(test) for test in tests.values()]
        return pd.DataFrame(rows, index=pd.Index(list(tests), name="test"))


def weak_calibration_test(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
) -> WeakCalibrationTest:
    """Weak calibration: likelihood-ratio tests of recalibration intercept and slope, joint and separate.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data). A likelihood ratio does not have a chi-square distribution with sampling weights;
        the tests are then Wald tests with linearized covariances, as `regTermTest` of R's survey package.

    Returns
    -------
    WeakCalibrationTest
        `.weak` (2 degrees of freedom), `.in_the_large` and `.slope` (1 each), with chi-square statistic and
        p-value, and the indexes D, U and Q of R's `val.prob`. All are NaN if the outcome has only one class;
        those that need the slope are NaN if the predictions are all equal or separate the classes. With
        sampling weights, D, U and Q are NaN.

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
    >>> test = weak_calibration_test([0, 1, 1, 0, 1, 0], [0.2, 0.7, 0.5, 0.4, 0.3, 0.6])
    >>> round(test.weak.statistic, 3), test.weak.df, round(test.weak.p_value, 3)
    (0.079, 2, 0.961)
    """
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    x = logits_of(data.score)
    constant = np.ones((len(x), 1))
    as_is = float(-data.weight @ np.logaddexp(0, np.where(data.outcome == 1, -x, x)))
    shifted = fit_logistic(constant, data.outcome, data.weight, offset=x)
    line = fit_logistic(np.column_stack([constant, x]), data.outcome, data.weight)
    if data.weights.sampling:
        return _of_sampled(data, x, shifted, line)
    level = NAN if shifted is None else shifted.log_likelihood
    full = NAN if line is None else line.log_likelihood
    weak = _chi_square(full - as_is, 2)
    discrimination = NAN
    if data.has_both:
        share = data.prevalence
        null = data.total * (share * np.log(share) + (1 - share) * np.log1p(-share))
        discrimination = float((2 * (as_is - null) - 1) / data.total)
    unreliability = (weak.statistic - 2) / data.total
    return WeakCalibrationTest(
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


def _of_sampled(
    data: Scored, x: FloatArray, shifted: LogisticFit | None, line: LogisticFit | None
) -> WeakCalibrationTest:
    """Return Wald tests with the linearized covariance of each fit.

    Lumley & Scott (2014), Australian & New Zealand J Statistics 56(1), 1-14. doi:10.1111/anzs.12065
    """
    constant, patients = np.ones((len(x), 1)), np.arange(len(x), dtype=float)
    found: dict[str, ChiSquare] = {name: _chi_square(NAN, df) for name, df in (("weak", 2), ("slope", 1))}
    found["in_the_large"] = _chi_square(NAN, 1)
    if shifted is not None:
        robust = clustered(shifted, constant, data.outcome, data.weight, patients, offset=x)
        found["in_the_large"] = _wald(robust.coefficients, robust.covariance)
    if line is not None:
        robust = clustered(line, np.column_stack([constant, x]), data.outcome, data.weight, patients)
        away = robust.coefficients - np.array([0.0, 1.0])
        found |= {"weak": _wald(away, robust.covariance)}
        found |= {"slope": _wald(away[1:], robust.covariance[1:, 1:])}
    method = data.weights.method("Wald")
    return WeakCalibrationTest(
        **found,
        discrimination=NAN,
        unreliability=NAN,
        quality=NAN,
        n=data.n,
        n_events=data.n_events,
        method=method if line else "not estimable: one class, equal or separating predictions",
    )


def _wald(away: FloatArray, covariance: FloatArray) -> ChiSquare:
    """Return the chi-square test that all coefficients are 0."""
    return _chi_square(0.5 * float(away @ np.linalg.solve(covariance, away)), len(away))


def _chi_square(half: float, df: int) -> ChiSquare:
    """Return the chi-square test of twice `half`, a difference of log-likelihoods."""
    statistic = max(2 * half, 0.0) if np.isfinite(half) else 2 * half
    return ChiSquare(statistic=float(statistic), df=df, p_value=float(chdtrc(df, statistic)))
