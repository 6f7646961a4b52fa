"""What a monitoring report holds: every figure in one table, alarms, and the look-ups of its page."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._reporting import plots
from treatsel.monitoring._covariate_drift import MEAN, SHARES
from treatsel.monitoring._sequential_test import SequentialCalibrationTest
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.monitoring.report._wording import FAMILIES, places_of


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReportData:
    """What has changed since the development of a model, with alarms whose false-alarm rate is stated.

    Attributes
    ----------
    figures : DataFrame
        One row per figure: section (inputs, warnings, predictions, calibration, running), name (covariate,
        code, arm), measure, value with lower and upper, expected and found, n, p_value, p_adjusted (Holm,
        over its family), matters (large enough for an alarm), alarm, method. Counts below 5 are not told.
    levels : DataFrame
        Share of each category before and now: column, category, before, now.
    running : SequentialCalibrationTest or None
        Evidence against calibration, patient after patient.
    outcome : str
        Outcome whose predictions are judged.
    false_alarm_rate : float
        Chance of any alarm in a report though nothing has changed, at most.
    sizes : Sizes
        What is large enough to matter.
    level : float
        Confidence level of the intervals.
    cautions : tuple of str
        What a reader must not overlook.
    not_estimable : tuple of (str, str)
        What could not be tested, and why.
    model_id : str or None
        Id of the model file, if there is one.
    n, n_outcomes : int
        Patients; those with known outcome and arm.
    compared_with : str
        Whom the covariates are compared with.
    """

    figures: pd.DataFrame
    levels: pd.DataFrame
    running: SequentialCalibrationTest | None
    outcome: str
    false_alarm_rate: float
    sizes: AlarmThresholds
    level: float
    cautions: tuple[str, ...]
    not_estimable: tuple[tuple[str, str], ...]
    model_id: str | None
    n: int
    n_outcomes: int
    compared_with: str

    def __repr__(self) -> str:
        """Show the headline."""
        return f"{type(self).__name__}({self.headline})"

    @property
    def alarms(self) -> pd.DataFrame:
        """The figures that gave an alarm."""
        return self.figures[self.figures["alarm"]].reset_index(drop=True)

    @property
    def n_tests(self) -> int:
        """How many tests were made; each could have given an alarm."""
        return int(self.figures["p_value"].notna().sum())

    @property
    def headline(self) -> str:
        """Whether there is an alarm, and where, in one sentence."""
        if not self.n_tests:
            return f"Nothing could be tested in {self.n:,} patients."
        tested = f"{self.n_tests} tests on {self.n:,} patients"
        if not len(self.alarms):
            return f"No alarm: {tested}."
        return f"Alarm: {', '.join(places_of(self.alarms))} ({tested})."

    @property
    def promise(self) -> str:
        """What the false-alarm rate means."""
        share = f"{100 * self.false_alarm_rate / len(FAMILIES):.2g} %"
        return (
            f"If nothing has changed, at most {100 * self.false_alarm_rate:g} % of such reports give any "
            f"alarm: {share} each for {', '.join(FAMILIES[:-1])} (Holm's method, per report) and the "
            f"{FAMILIES[-1]} (Ville's inequality, over all looks together)."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return all figures, one per row."""
        return self.figures.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw how far each covariate has moved, in SD of before; return the Axes."""
        rows = self.figures[self.figures["measure"].isin([MEAN, SHARES]) & self.figures["value"].notna()]
        label = f"Standardised difference, now less before ({100 * self.level:g}% interval)"
        table = rows.set_index("name")[["value", "lower", "upper"]]
        return plots.estimates(table, reference=0.0, xlabel=label, ax=ax)
