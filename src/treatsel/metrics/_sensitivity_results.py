"""Results of the sensitivity analyses for unmeasured confounding."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._checks import check_choice
from treatsel._reporting.plots import curves


@dataclass(frozen=True, kw_only=True)
class EValue:
    """Least strength of unmeasured confounding that could explain an association away.

    Attributes
    ----------
    value : float
        Risk ratio, 1 or more, by which a confounder must be associated with the arm **and** with the
        outcome, beyond the measured covariates, to explain the estimate away.
    limit : float
        The same for the confidence limit nearer to no association; 1 if the interval includes none, NaN if
        no limit was given.
    ratio : float
        The observed risk ratio (of a difference: higher over lower rate).
    measure : str
        "risk ratio" or "risk difference".
    """

    value: float
    limit: float
    ratio: float
    measure: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginalSensitivity:
    """What a policy may be worth if unmeasured confounding is no stronger than Lambda.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns measure ("value": rate of the good outcome under the rule; "gain": less that under the best
        single arm), Lambda, lowest and highest (bounds of the estimate), lower and upper (interval around
        both bounds).
    lambda_estimate, lambda_interval : float
        Least Lambda at which the bounds of the gain, and its interval, include 0: the sign is lost. 1: it
        never was clear; infinite: never; NaN: not estimable.
    best_arm : label
        The arm compared with.
    n, n_events, n_differs : int
        Patients; those with the good outcome; those whose recommended arm is not the best single one.
    level, method : float, str
        Confidence level; estimator and how the interval was made.
    """

    table: pd.DataFrame
    lambda_estimate: float
    lambda_interval: float
    best_arm: Any
    n: int
    n_events: int
    n_differs: int
    level: float
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return the bounds, one row per measure and Lambda."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, measure: str = "gain") -> Any:
        """Draw both bounds over Lambda, each with its side of the interval; return the Axes."""
        check_choice("measure", measure, ["value", "gain"])
        rows = self.table[self.table["measure"] == measure]
        low = rows.assign(bound="lowest", value=rows["lowest"], upper=rows["lowest"])
        high = rows.assign(bound="highest", value=rows["highest"], lower=rows["highest"])
        text = "Lambda: most that the odds of an arm may differ by what was not measured"
        ylabel = f"{measure.capitalize()} ({100 * self.level:g}% interval)"
        reference = 0.0 if measure == "gain" else None
        table = pd.concat([low, high])
        return curves(table, x="Lambda", by="bound", xlabel=text, ylabel=ylabel, reference=reference, ax=ax)
