"""Results of the calibration metrics that hold more than one number."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._plotting import diagonal_axes
from treatsel.metrics._result import Estimate


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


@dataclass(frozen=True, kw_only=True)
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
    """

    ici: float
    e50: float
    e90: float
    emax: float
    eci: float
    n: int
    n_events: int
    smoother: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])


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
            ax.errorbar(points["predicted"], points["observed"], yerr=[below, above], **marks)
        if len(self.fits) > 1:
            ax.legend(frameon=False)
        return ax
