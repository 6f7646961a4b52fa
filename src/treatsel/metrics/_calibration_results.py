"""Results of the calibration metrics that hold more than one number."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._reporting.plots import diagonal_axes
from treatsel._stats.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class CalibrationLine:
    """Logistic recalibration line: logit(observed) = intercept + slope x logit(predicted).

    Attributes
    ----------
    intercept, slope : Estimate
        Fitted together; `calibration_in_the_large` is the intercept with the slope held at 1.
    covariance : float
        Of the two estimates.
    """

    intercept: Estimate
    slope: Estimate
    covariance: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row each for intercept and slope."""
        rows = [self.intercept.to_dict(), self.slope.to_dict()]
        return pd.DataFrame(rows, index=pd.Index(["intercept", "slope"], name="parameter"))


ERRORS = ("ici", "e50", "e90", "emax", "eci")


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationErrors:
    """Distances between predicted probabilities and the smooth calibration curve; 0 is perfect.

    Attributes
    ----------
    ici : float
        Integrated calibration index: mean absolute distance over the patients (also Eavg).
    e50, e90, emax : float
        Median, 90th percentile and maximum of the absolute distance.
    eci : float
        Estimated calibration index: 100 times the mean squared distance.
    n, n_events : int
        Patients, and those among them with outcome 1.
    smoother : str
        The curve that could be fitted, or why there is none (then all distances are NaN).
    level : float
        Confidence level of the intervals.
    method : str
        How they were made.
    intervals : pandas.DataFrame
        One row each of ici, e50, e90, emax, eci; columns value, lower, upper, expected_if_perfect and
        p95_if_perfect (mean and 95th percentile under perfect calibration at this n), p_value (of perfect
        calibration, from the same draws). NaN where it was not asked for or could not be made.
    """

    ici: float
    e50: float
    e90: float
    emax: float
    eci: float
    n: int
    n_events: int
    smoother: str
    level: float
    method: str
    intervals: pd.DataFrame

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Each error with its interval, by name."""
        return {
            str(error): Estimate(
                value=float(row["value"]),
                lower=float(row["lower"]),
                upper=float(row["upper"]),
                n=self.n,
                n_events=self.n_events,
                level=self.level,
                method=self.method,
                p_value=float(row["p_value"]),
            )
            for error, row in self.intervals.iterrows()
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all but the intervals by name."""
        fields = dataclasses.fields(self)
        return {field.name: getattr(self, field.name) for field in fields if field.name != "intervals"}

    def to_frame(self) -> pd.DataFrame:
        """Return one row an error, with interval and what perfect calibration would show."""
        return self.intervals.copy()


@dataclass(frozen=True, kw_only=True)
class ChiSquare:
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


@dataclass(frozen=True, kw_only=True)
class CalibrationTest:
    """Likelihood-ratio tests of logistic recalibration, and Harrell's indexes made of them.

    Attributes
    ----------
    weak : ChiSquare
        Of weak calibration: intercept 0 and slope 1 together.
    in_the_large : ChiSquare
        Of the intercept, with the slope held at 1.
    slope : ChiSquare
        Of slope 1, with the intercept free. The last two add up to the first.
    discrimination : float
        D: (likelihood ratio of the predictions as they are against the prevalence - 1) / n.
    unreliability : float
        U: (statistic of `weak` - 2) / n.
    quality : float
        Q = D - U; higher is better.
    n, n_events : int
        Patients, and those among them with outcome 1.
    method : str
        The tests, or why there are none.
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
        """Return one row each for the tests; columns statistic, df, p_value."""
        tests = {"weak": self.weak, "in_the_large": self.in_the_large, "slope": self.slope}
        rows = [dataclasses.asdict(test) for test in tests.values()]
        return pd.DataFrame(rows, index=pd.Index(list(tests), name="test"))


@dataclass(frozen=True, kw_only=True, eq=False)
class HosmerLemeshow:
    """Chi-square test of groups of similar predictions.

    Attributes
    ----------
    statistic, p_value : float
        NaN where the data do not allow the test.
    df : int
        Degrees of freedom: the number of groups, since nothing was fitted to these patients.
    table : pandas.DataFrame
        The groups, as from `calibration_groups`.
    """

    statistic: float
    df: int
    p_value: float
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the groups."""
        return self.table.copy()


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationCurve:
    """Observed against predicted probability: a smooth curve with its band, and groups of patients.

    Attributes
    ----------
    table : pandas.DataFrame
        The curve; columns arm, predicted, observed, lower, upper (proportions; the limits are pointwise).
    groups : pandas.DataFrame
        Quantile groups; columns arm, group, n, n_events, predicted (mean), observed, lower, upper (Wilson).
    fits : pandas.DataFrame
        Per arm: n, n_events, smoother (what could be fitted) and knots (proportions).
    level : float
        Confidence level of all limits.
    """

    table: pd.DataFrame
    groups: pd.DataFrame
    fits: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the curve."""
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw curve, band and groups of each arm on `ax` (new if None) and return it."""
        ax = diagonal_axes(ax, xlabel="Predicted probability", ylabel="Observed proportion")
        for arm, curve in self.table.groupby("arm", sort=False):
            (line,) = ax.plot(curve["predicted"], curve["observed"], label=str(arm))
            shade = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
            ax.fill_between(curve["predicted"], curve["lower"], curve["upper"], **shade)
            points = self.groups[self.groups["arm"] == arm]
            below = (points["observed"] - points["lower"]).clip(lower=0)
            above = (points["upper"] - points["observed"]).clip(lower=0)
            marks = {"fmt": "o", "markersize": 4, "color": line.get_color()}
            ax.errorbar(points["predicted"], points["observed"], yerr=np.array([below, above]), **marks)
        if len(self.fits) > 1:
            ax.legend(frameon=False)
        return ax
