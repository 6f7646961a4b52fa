"""Results of the assumptions about missing outcomes."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._checks import check_choice
from treatsel._reporting.plots import curves, estimates

NULL = {"difference": 0.0, "ratio": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class MissingOutcomeBounds:
    """What an estimate would be under extreme assumptions about the missing outcomes.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns measure ("rate", "difference", "ratio", "gain"), arms (an arm, or "A v B"), scenario, value,
        lower, upper, n (patients), n_missing, method. Scenarios: "observed" (the missing are like the
        observed of their arm), "missing are 0", "missing are 1", and those that make the estimate "lowest"
        and "highest": in a contrast, 0 in one arm and 1 in the other. The interval of a scenario is that of
        the data so completed; from `lower` of "lowest" to `upper` of "highest" covers at least at `level`
        whatever the missing outcomes are.
    level : float
        Confidence level.
    """

    table: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, measure: str = "rate") -> Any:
        """Draw one measure under each scenario; return the Axes."""
        check_choice("measure", measure, list(self.table["measure"].unique()))
        rows = self.table[self.table["measure"] == measure]
        rows = rows.set_index(rows["arms"] + ": " + rows["scenario"])
        text = f"{measure.capitalize()} ({100 * self.level:g}% intervals)"
        return estimates(rows, reference={**NULL, "gain": 0.0}.get(measure), xlabel=text, ax=ax)


@dataclass(frozen=True, kw_only=True, eq=False)
class TippingPoint:
    """How different the missing must be from the observed for a contrast of two arms to vanish.

    Attributes
    ----------
    delta_estimate, delta_interval : float
        Log odds ratio of the outcome, missing v observed patients of the same arm, nearest to 0 at which
        the contrast shows no difference, and at which its interval includes none. 0: it does so already;
        infinite: no delta does it; NaN: not estimable.
    rate_estimate, rate_interval : float
        The rate among the missing of the shifted arm (with "opposite": the first) that this means.
    arms, measure, shifted : tuple of labels, str, str
        The contrast, and whose missing outcomes are shifted by delta ("opposite": the first arm by delta,
        the second by minus delta).
    level : float
        Confidence level.
    table : pandas.DataFrame
        Columns delta, rate_first, rate_second (among the missing), value, lower, upper (of the contrast).
    """

    delta_estimate: float
    delta_interval: float
    rate_estimate: float
    rate_interval: float
    arms: tuple[Any, Any]
    measure: str
    shifted: str
    level: float
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the contrast by delta."""
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw the contrast, with its interval, by delta; return the Axes."""
        ylabel = f"{self.measure.capitalize()}, {self.arms[0]} v {self.arms[1]}"
        text = "Log odds ratio of the outcome, missing v observed"
        table = self.table.assign(measure=self.measure)
        reference = NULL[self.measure]
        return curves(table, x="delta", by="measure", xlabel=text, ylabel=ylabel, reference=reference, ax=ax)
