"""Data of a monitoring report: all figures in one table, alarms, and the headline."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized, Summary, count_text
from treatsel.monitoring._covariate_drift import CATEGORIES, MEAN
from treatsel.monitoring._sequential_test import SequentialCalibrationTest
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.monitoring.report._wording import FAMILIES, places_of


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReportData(Summarized):
    """Changes since the development of a model, with alarms at a stated false-alarm rate.

    Attributes
    ----------
    figures : DataFrame
        One row per figure: section (covariates, warnings, predictions, calibration, sequential test), name
        (covariate, code, arm), measure, value with lower and upper, expected and observed, n, p_value,
        p_adjusted (Holm, over its family), exceeds_threshold (large enough for an alarm), alarm, method.
        Counts below 5 are suppressed.
    levels : DataFrame
        Proportion of each category before and now: column, category, before, now.
    sequential_test : SequentialCalibrationTest or None
        Evidence against calibration over patients.
    outcome : str
        Outcome whose predictions are assessed.
    false_alarm_rate : float
        Upper bound on the probability of any alarm in a report if nothing has changed.
    thresholds : AlarmThresholds
        Smallest differences that may give an alarm.
    level : float
        Confidence level of the intervals.
    cautions : tuple of str
        Limitations that readers must take into account.
    not_estimable : tuple of (str, str)
        What could not be tested, and why.
    model_id : str or None
        Id of the model file, if there is one.
    n, n_outcomes : int
        Number of patients, and of those with known outcome and arm.
    compared_with : str
        Patients that the covariates are compared with.
    titles : dict of str to str
        Titles of columns in the codebook, for plots and pages; tables and JSON hold the names.
    """

    figures: pd.DataFrame
    levels: pd.DataFrame
    sequential_test: SequentialCalibrationTest | None
    outcome: str
    false_alarm_rate: float
    thresholds: AlarmThresholds
    level: float
    cautions: tuple[str, ...]
    not_estimable: tuple[tuple[str, str], ...]
    model_id: str | None
    n: int
    n_outcomes: int
    compared_with: str
    titles: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show the headline."""
        return f"{type(self).__name__}({self.headline})"

    def _summary(self) -> Summary:
        found = self.alarms
        rows = [
            (str(row["section"]), self.label(row["name"]), str(row["measure"]))
            for row in found.to_dict(orient="records")
        ]
        return Summary(
            title=f"Monitoring: {self.label(self.outcome)}",
            headline=self.headline,
            facts=[
                ("patients", count_text(self.n)),
                ("patients with known outcome", count_text(self.n_outcomes)),
                ("false-alarm rate", f"{100 * self.false_alarm_rate:g}%"),
                ("model", self.model_id[:12] if self.model_id else "not from a file"),
                ("cautions", str(len(self.cautions)) if self.cautions else "none"),
            ],
            columns=("Alarm", "Where", "Measure"),
            rows=rows,
            note="to_html(path) writes the whole report; to_frame() returns all figures.",
        )

    def label(self, name: Any) -> str:
        """Return the title of a column in the codebook, or its name."""
        return self.titles.get(str(name), str(name))

    @property
    def alarms(self) -> pd.DataFrame:
        """Figures with an alarm."""
        return self.figures[self.figures["alarm"]].reset_index(drop=True)

    @property
    def n_tests(self) -> int:
        """Number of tests, each of which could have given an alarm."""
        return int(self.figures["p_value"].notna().sum())

    @property
    def headline(self) -> str:
        """Alarms in one sentence."""
        if not self.n_tests:
            return f"Nothing could be tested in {count_of(self.n, 'patient')}."
        tested = f"{count_of(self.n_tests, 'test')} on {self.n:,} patients"
        if not len(self.alarms):
            return f"No alarm: {tested}."
        return f"Alarm: {', '.join(places_of(self.alarms))} ({tested})."

    @property
    def false_alarm_guarantee(self) -> str:
        """Meaning of the false-alarm rate, in one sentence."""
        part = f"{100 * self.false_alarm_rate / len(FAMILIES):.2g} %"
        return (
            f"If nothing has changed, at most {100 * self.false_alarm_rate:g} % of such reports give any "
            f"alarm: {part} each for {', '.join(FAMILIES[:-1])} (Holm's method, per report) and the "
            f"{FAMILIES[-1]} (Ville's inequality, over all looks together)."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return all figures, one per row."""
        return self.figures.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the standardized difference of each covariate with its interval.

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
        rows = self.figures[self.figures["measure"].isin([MEAN, CATEGORIES]) & self.figures["value"].notna()]
        label = f"Standardized difference, now minus before ({100 * self.level:g}% interval)"
        table = rows.set_index("name")[["value", "lower", "upper"]].rename(index=self.label)
        return plots.estimates(table, reference=0.0, xlabel=label, ax=ax, **kwargs)
