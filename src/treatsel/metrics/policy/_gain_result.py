"""Results of comparing a recommendation rule with simpler policies."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import points, with_interval
from treatsel._reporting.summary import Summarized, Summary, reveals_count, summary_of_fields

BEFOREHAND, ON_THIS_DATA, OWN = "named in advance", "selected in these data", "each patient's own"
OF_FOLDS = "selected in the other folds"
AT_RANDOM = "drawn at random"
BEST, RECEIVED, RANDOM = "best single arm", "received arm", "random arm, same shares"


@dataclass(frozen=True, kw_only=True, repr=False)
class Gain(Summarized):
    """Outcome rate under the recommendations minus that under a simpler policy (the comparator).

    Attributes
    ----------
    value, lower, upper, se, p_value : float
        Difference of two proportions, with its interval, its standard error and the two-sided p value for
        no gain; positive: the recommendations are better.
    comparator : str
        The simpler policy: "best single arm", "received arm" or "random arm, same shares".
    comparator_arm : label or None
        The single arm of that policy; None if it assigns different arms to different patients.
    comparator_source : str
        How that arm was determined: "named in advance", "selected in these data" (the comparison is then
        slightly conservative), "selected in the other folds" (of a cross-validation; `comparator_arm` is
        then the most frequent one), "each patient's own" or "drawn at random".
    n, n_clusters : int
        Numbers of patients and of clusters; None if the patients are treated as independent.
    n_discordant : int
        Patients whose recommended arm differs from the comparator's (for a random comparator: the expected
        number).
    level : float
        Confidence level of [lower, upper].
    method : str
        How the interval was computed, or why there is none.
    """

    value: float
    lower: float
    upper: float
    se: float
    p_value: float
    comparator: str
    comparator_arm: Any
    comparator_source: str
    n: int
    n_discordant: int
    n_clusters: int | None
    level: float
    method: str

    def _summary(self) -> Summary:
        whole = summary_of_fields(self)
        if self.lower == self.lower and not reveals_count(self):
            bounds = {"value": self.value, "lower": self.lower, "upper": self.upper}
            headline = f"{with_interval(bounds, points)}, {100 * self.level:g}% interval"
            whole = replace(whole, headline=headline)
        return replace(whole, headline=f"{whole.headline}, against the {self.comparator}")

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Gains(Summarized):
    """Gains of the recommendations over each single arm for all patients.

    Attributes
    ----------
    table : DataFrame of shape (n_arms, 8)
        One row per arm; columns value, lower, upper (differences of proportions; positive: the
        recommendations are better), se, p_value, n, n_discordant, method.
    level : float
        Confidence level of [lower, upper], for each interval or jointly.
    simultaneous : bool
        Whether `level` is the joint coverage of all intervals (Bonferroni, also for the p values).
    """

    table: pd.DataFrame
    level: float
    simultaneous: bool

    def _summary(self) -> Summary:
        rows = [
            (str(arm), points(row["value"]), f"{points(row['lower'])} to {points(row['upper'])}")
            for arm, row in self.table.iterrows()
        ]
        joint = "joint " if self.simultaneous else ""
        return Summary(
            title="Gains",
            headline=f"Gain of the recommendations over {len(rows)} single arms for all patients",
            columns=("Arm", "Gain", f"{joint}{100 * self.level:g}% interval"),
            rows=rows,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the gain over each arm with its interval.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        joint = "joint " if self.simultaneous else ""
        label = (
            "Gain over this arm for all patients: difference of outcome rates, above 0 in favor of the "
            f"recommendations ({joint}{plots.intervals_of(self.level)})"
        )
        return plots.estimates(self.table, reference=0.0, xlabel=label, ax=ax, **kwargs)
