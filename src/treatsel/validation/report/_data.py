"""Data of a validation report: all numbers in tables, and the look-ups that its sections need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel._checks import check_choice
from treatsel._reporting import plots
from treatsel._reporting.format import fixed
from treatsel._reporting.summary import Summarized
from treatsel.errors import InputError
from treatsel.metrics import CalibrationCurve, Gain
from treatsel.metrics.policy import OF_FOLDS, plot_policies
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._headline import PLAUSIBLE_GAIN, Headline


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReportData(Summarized):
    """Estimates of an external validation, each with interval, n and events.

    Attributes
    ----------
    figures : DataFrame
        Columns section, measure, group ("overall", an arm, a pair of arms, a site or a subgroup), value,
        lower, upper, n, n_events (None if not applicable), method.
    gain : Gain
        Rate of the good outcome under the recommendations minus that under the best single arm for all
        patients, as named in advance or as selected. The headline is the table "headline".
    tables : dict of str to DataFrame
        Curves and lists: "flow", "headline", "calibration curve", "decision curve", "sites", "checklist", ...
    outcome : str
        Outcome validated.
    event_is_good : bool
        Whether outcome 1 is the good outcome; policies are always evaluated by the rate of the good outcome.
    level : float
        Confidence level of all intervals.
    assignment : str
        Source of the probabilities of the received arms.
    effective_n : float
        Effective sample size of the weighted policy value, from the concordant patients.
    cautions : tuple of str
        Warnings that readers must see, the most severe first.
    not_estimable : tuple of (str, str)
        What could not be estimated, and why.
    model_id : str or None
        Id of the model file, if there is one.
    about : dict
        Further facts on model and cohort, as plain values.
    """

    figures: pd.DataFrame
    gain: Gain
    tables: dict[str, pd.DataFrame]
    outcome: str
    event_is_good: bool
    level: float
    assignment: str
    effective_n: float
    cautions: tuple[str, ...]
    not_estimable: tuple[tuple[str, str], ...]
    model_id: str | None
    about: dict[str, Any]

    def __repr__(self) -> str:
        """Show the headline."""
        return f"{type(self).__name__}({self.headline})"

    @property
    def good_name(self) -> str:
        """The good outcome in words."""
        return self.outcome if self.event_is_good else f"no {self.outcome}"

    @property
    def outcome_label(self) -> str:
        """The outcome as labels show it: its title in the codebook, or its name."""
        return self.label(self.outcome)

    @property
    def good_label(self) -> str:
        """The good outcome as labels show it."""
        if self.event_is_good or self.outcome_label == self.outcome:
            return self.outcome_label if self.event_is_good else self.good_name
        return f'"{self.outcome_label}": no'

    def label(self, name: str) -> str:
        """Return a column, or "column=category", with the title of the column in the codebook."""
        titles = self.about.get("titles")
        titles = titles if isinstance(titles, Mapping) else {}
        column, sign, category = (name, "", "") if name in titles else str(name).partition("=")
        return f"{titles.get(column, column)}{sign}{category}"

    @property
    def headline(self) -> str:
        """The gain over the best single arm, whichever it is: its interval, in one sentence or two."""
        if self.kind == "apparent":
            share = f"about {self.about['share_in_development']:.0%} of these patients"
            return (
                f"Apparent performance: {share} were in the development cohort, so the gain over the best "
                "single arm is withheld. Validate in other patients, or by cross-validation."
            )
        start = "Cross-validated: " if self.kind == "cross-validated" else ""
        return start + self._gain_in_words

    @property
    def kind(self) -> str:
        """Kind of validation: "external", "cross-validated" or "apparent"."""
        return str(self.about.get("kind", "external"))

    @property
    def _gain_in_words(self) -> str:
        gain, what = self.gain, self.good_name
        if (rate := self.figure("base rate")["value"]) in (0, 1):
            return (
                f"The outcome is {rate:.0f} in all patients, so this cohort cannot show whether the "
                f"predictions or the recommendations are useful for {self.outcome}."
            )
        if gain.lower != gain.lower:
            why = gain.method.removeprefix("not estimable: ")
            return f"The gain over the best single arm cannot be estimated: {why}."
        truly = self.over_truly_best
        if truly is not None and gain.n_discordant:
            return truly.sentence(what)
        best = f"{gain.comparator_arm}, the best single arm,"
        if gain.comparator_source == OF_FOLDS:
            best = "the best single arm of the other folds"
        if not gain.n_discordant:
            text = f"The model recommends {best} for all patients: there is neither gain nor loss"
            if truly is None:
                return f"{text}."
            truly_best = f"over the truly best arm {truly.interval} percentage points"
            return f"{text} ({100 * self.level:g}% interval of the gain {truly_best})."
        verdict = "higher" if gain.lower > 0 else "lower" if gain.upper < 0 else None
        value, lower, upper = (fixed(100 * x, "+.1f") for x in (gain.value, gain.lower, gain.upper))
        points = f"{value} percentage points ({100 * self.level:g}% interval {lower} to {upper})"
        if verdict is None:
            return (
                f"No evidence of a gain: giving each patient the recommended arm instead of {best} "
                f"changes the rate of {what} by {points}."
            )
        return (
            f"Giving each patient the recommended arm instead of {best} is associated "
            f"with a {verdict} rate of {what}: {points}."
        )

    @property
    def over_truly_best(self) -> Headline | None:
        """Interval and verdict of the gain over the truly best arm; None if there is no such comparison."""
        if "headline" not in self.tables:
            return None
        plausible = self.about.get("plausible_gain", PLAUSIBLE_GAIN)
        found = Headline.of(self.tables["headline"], plausible_gain=plausible, level=self.level)
        return found if found.lower == found.lower else None

    @property
    def flow(self) -> pd.DataFrame:
        """By arm: n, n_observed and n_events of those who received it; n_recommended of all patients."""
        return self.tables["flow"].copy()

    @property
    def calibration(self) -> CalibrationCurve:
        """Observed against predicted, overall."""
        return self._curve("")

    @property
    def calibration_by_arm(self) -> CalibrationCurve:
        """Observed against predicted, by received arm."""
        return self._curve(" by arm")

    def _curve(self, which: str) -> CalibrationCurve:
        return CalibrationCurve(
            table=self.tables[f"calibration curve{which}"],
            groups=self.tables[f"calibration groups{which}"],
            fits=self.tables[f"calibration fits{which}"],
            level=self.level,
        )

    def figure(self, measure: str, group: str = OVERALL) -> pd.Series:
        """Return one row of `figures`."""
        check_choice("measure", measure, sorted(set(self.figures["measure"])))
        rows = self.figures[self.figures["measure"] == measure]
        check_choice("group", group, list(rows["group"]))
        return rows[rows["group"] == group].iloc[0]

    def has(self, measure: str, group: str = OVERALL) -> bool:
        """Whether `figures` has a row of this measure and group."""
        return bool(((self.figures["measure"] == measure) & (self.figures["group"] == group)).any())

    def to_frame(self) -> pd.DataFrame:
        """Return all estimates, one per row."""
        return self.figures.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the calibration curve; see `CalibrationCurve.plot`."""
        return self.calibration.plot(ax, **kwargs)

    def plot_policies(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the expected rate of the good outcome under each policy with its interval.

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
        rows = self.figures[self.figures["section"] == "policy"].set_index("measure")
        label = f"Expected proportion with {self.good_label} ({100 * self.level:g}% interval)"
        return plots.estimates(rows, reference=None, xlabel=label, ax=ax, **kwargs)

    def plot_headline(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the recommendations, current practice and each single arm against the truly best arm.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        InputError
            If the gain over the truly best arm was not estimated.
        """
        if "headline: policies" not in self.tables:
            raise InputError("The report has no comparison with the truly best arm; see not_estimable.")
        return plot_policies(self.tables["headline: policies"], level=self.level, ax=ax, **kwargs)
