"""Results: the update of one outcome, and the updated selector."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized
from treatsel.selector import TreatmentSelector


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OutcomeUpdate(Summarized):
    """What an update does to the model of one outcome.

    Attributes
    ----------
    outcome : str
        Outcome.
    method : str
        "none", "intercept" (one shift), "slope" (one shift and a slope) or "per_arm" (a shift for each arm
        and a slope).
    chosen_by : str
        "closed test", or "name" if the method was named.
    tests : DataFrame
        Closed test, one row for each method but the richest, as in `ModelUpdate`; no rows if the method was
        named.
    reference : str or None
        The richest method, with which the others were compared; None if the method was named.
    alpha : float
        Level of the tests.
    shift : Series by arm
        Added to the logit; 0 is no change.
    slope : float
        Factor of the logit; 1 is no change.
    calibration : DataFrame
        One row per predictions ("before", "after", "cross-validated") and measure (calibration in the large,
        calibration slope, observed / expected), with value, lower and upper (95 %). "before": the model as it
        was served. "after" is apparent: in the patients of the update. "cross-validated": every patient is
        predicted by a recalibration to the other folds, in which a closed test is repeated.
    share_moved : float
        Proportion of the cohort for whom another arm has the best prediction than before.
    best_arm : label
        Arm with the best mean prediction in the cohort after the update.
    n, n_events : int
        Patients in whom the outcome was observed, and those with outcome 1.
    """

    outcome: str
    method: str
    chosen_by: str
    tests: pd.DataFrame
    reference: str | None
    alpha: float
    shift: pd.Series
    slope: float
    calibration: pd.DataFrame
    share_moved: float
    best_arm: Any
    n: int
    n_events: int

    def to_frame(self) -> pd.DataFrame:
        """Return the calibration before, after and cross-validated."""
        return self.calibration.copy()

    def plot(self, ax: Any = None, *, measure: str = "calibration slope", **kwargs: Any) -> Any:
        """Draw a measure of calibration before, after and cross-validated; return the Axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        measure : str
            A measure of `calibration`.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points.
        """
        rows = self.calibration[self.calibration["measure"] == measure].set_index("predictions")
        ideal = 0 if measure == "calibration in the large" else 1
        return plots.estimates(
            rows[["value", "lower", "upper"]], reference=ideal, xlabel=measure.capitalize(), ax=ax, **kwargs
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SelectorUpdate(Summarized):
    """An updated selector, and what was changed.

    Attributes
    ----------
    selector : TreatmentSelector
        The updated selector; the one that was given if no outcome needs a change.
    outcomes : dict of str to OutcomeUpdate
        By outcome of the update.
    parent_id : str or None
        Id of the model that was updated; None if it was not saved.
    date : str or None
        Date of the update (YYYY-MM-DD), if given.
    """

    selector: TreatmentSelector
    outcomes: dict[str, OutcomeUpdate]
    parent_id: str | None
    date: str | None

    @property
    def is_changed(self) -> bool:
        """Whether the model of any outcome was changed."""
        return any(each.method != "none" for each in self.outcomes.values())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per outcome: method, chosen_by, slope, share_moved, best_arm, n, n_events."""
        columns = ("outcome", "method", "chosen_by", "slope", "share_moved", "best_arm", "n", "n_events")
        rows = [{key: getattr(each, key) for key in columns} for each in self.outcomes.values()]
        return pd.DataFrame(rows, columns=list(columns)).set_index("outcome")

    def plot(self, ax: Any = None, *, measure: str = "calibration slope", **kwargs: Any) -> Any:
        """Draw a measure of calibration by outcome and predictions; return the Axes. See `OutcomeUpdate`."""
        parts = []
        for name, each in self.outcomes.items():
            rows = each.calibration[each.calibration["measure"] == measure]
            parts.append(rows.set_axis([f"{name}, {kind}" for kind in rows["predictions"]]))
        ideal = 0 if measure == "calibration in the large" else 1
        shown = pd.concat(parts)[["value", "lower", "upper"]]
        return plots.estimates(shown, reference=ideal, xlabel=measure.capitalize(), ax=ax, **kwargs)
