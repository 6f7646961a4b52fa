"""`RecommendationExplanation`: why one arm rather than another, why not clearer, and what would change it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import as_text, count_of
from treatsel._reporting.format import fixed, percent, points
from treatsel._reporting.summary import Summarized, Summary
from treatsel.explanation._changes import CHANGE_NOTES, Change
from treatsel.predictions import header, plain, table_of_flags, warnings_of

if TYPE_CHECKING:
    import pandas as pd

SOURCES = {
    "arm_averages": "the average rates of the arms",
    "prognosis": "the effects of covariates that the two arms have in common",
    "modifiers": "the effects of covariates that differ between the two arms",
    "service": "the service",
    "missing_answers": "the missing answers of this patient",
}
_MOST_NAMED, _MOST_CHANGES = 3, 6  # reasons for and against, and changes, in a sentence


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class RecommendationExplanation(Summarized):
    """Why one patient's top arm is above another arm, why not clearer, and what would change it.

    All of it describes the model, not what happens to the patient if a covariate changes.

    Attributes
    ----------
    patient : label
        Id of the patient; 0 for a record without an id.
    arm, comparator : label
        The top arm, and the arm with which it is compared.
    status : str
        Status of the recommendation.
    weights : mapping of str to float
        Weight of each outcome in the utility; they sum to 1.
    target : str
        What is compared, in words: the good outcome, or "utility" with several outcomes.
    difference, lower, upper : float
        Utility of the arm minus that of the comparator, with its interval; for one outcome, the difference in
        the probability of the good outcome. Without posterior draws, the interval is NaN.
    level : float
        Level of the interval.
    p_better : float
        Posterior probability that the difference is above 0; NaN without draws.
    base_value : float
        The difference for the background: a patient whose logits are the means of the background.
    attributions : mapping of str to float
        What each covariate contributes to `difference` minus `base_value`, to which they sum: positive in
        favor of the arm. The largest in size first.
    values : mapping of str
        The patient's value of each covariate, as it is entered; None if missing.
    shares : mapping of str to float
        Share of each source in the posterior variance of the difference, at least 0, sum 1: "arm_averages",
        "prognosis", "modifiers", "service" and "missing_answers" (see `SOURCES`). Empty without draws.
    changes : tuple of Change
        By covariate, in the order of the attributions, the smallest change that puts another arm on top,
        the others as they are; for a category, each such category. Each has `covariate`, `value` (None: there
        is none), `arms` (on top with this value: several if tied) and `note` (why there is none).
    titles, units : mapping of str to str
        Titles and units of covariates, for readers.
    method : {"additive", "enumeration", "permutation"}
        How attributions were computed, as in `Explanation`.
    flags : mapping of str to sequence, or None
        Warnings as in `Predictions.flags`.
    audit : mapping or None
        Audit record of the recommendation that is explained.
    """

    patient: Any
    arm: Any
    comparator: Any
    status: str
    weights: Mapping[str, float]
    target: str
    difference: float
    lower: float
    upper: float
    level: float
    p_better: float
    base_value: float
    attributions: Mapping[str, float]
    values: Mapping[str, Any]
    shares: Mapping[str, float]
    changes: tuple[Change, ...]
    titles: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    method: str = "additive"
    flags: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None

    def label(self, name: str) -> str:
        """Return the title of a covariate, or its name if it has none."""
        return self.titles.get(name, name)

    @property
    def warnings(self) -> "pd.DataFrame":
        """Warnings, as in `Predictions`: columns patient, code and column."""
        return table_of_flags(self.flags)

    def _summary(self) -> Summary:
        return Summary(
            title="RecommendationExplanation",
            headline="why one patient's top arm, why not clearer, and what would change it",
            facts=[("arm", str(self.arm)), ("comparator", str(self.comparator)), ("target", self.target)],
            note="to_frame() and sentences() show the patient.",
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return a long table, one row per statement.

        Columns: patient, arm, comparator, part ("attribution", "uncertainty" or "change"), name (covariate or
        source), title, value (of the patient, as text; None if missing), amount (attribution or share; NaN
        for a change), new_value and new_arm (of a change; None if there is none), note.
        """
        import pandas as pd

        columns = ("part", "name", "title", "value", "amount", "new_value", "new_arm", "note")
        rows: list[tuple[Any, ...]] = [
            ("attribution", name, self.label(name), _text(self.values.get(name)), amount, None, None, "")
            for name, amount in self.attributions.items()
        ]
        rows += [
            ("uncertainty", name, SOURCES[name], None, share, None, None, "")
            for name, share in self.shares.items()
        ]
        for name, value, arms, note in self.changes:
            now, arm = _text(self.values.get(name)), " or ".join(map(str, arms)) or None
            rows.append(("change", name, self.label(name), now, np.nan, _text(value), arm, note))
        # objects: None stays None
        table = pd.DataFrame(rows, columns=list(columns), dtype="object").astype({"amount": "float64"})
        for place, name in enumerate(("patient", "arm", "comparator")):
            table.insert(place, name, plain(getattr(self, name)))
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a number that does not exist is None.

        The keys are described in the reference page "The JSON of predictions".
        """
        numbers = ("difference", "lower", "upper", "level", "p_better", "base_value")
        return {
            **header("recommendation_explanation"),
            **{name: plain(getattr(self, name)) for name in ("patient", "arm", "comparator", "status")},
            "weights": {name: float(weight) for name, weight in self.weights.items()},
            **{name: plain(float(getattr(self, name))) for name in numbers},
            "method": self.method,
            "attributions": [
                {
                    "covariate": str(name),
                    "title": self.label(name),
                    "value": plain(self.values.get(name)),
                    "attribution": plain(float(amount)),
                }
                for name, amount in self.attributions.items()
            ],
            "shares": {name: float(share) for name, share in self.shares.items()},
            "changes": [
                {
                    "covariate": str(each.covariate),
                    "value": plain(each.value),
                    "arms": [plain(arm) for arm in each.arms],
                    "note": each.note,
                }
                for each in self.changes
            ],
            "warnings": warnings_of(self.flags),
            "audit": None if self.audit is None else dict(self.audit),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def sentences(self) -> tuple[str, ...]:
        """Return the explanation in sentences: the difference, reasons, uncertainty, and changes."""
        return (self._comparison(), *self._reasons(), *self._uncertainty(), self._what_changes())

    def _comparison(self) -> str:
        size = f"{100 * abs(self.difference):.1f} points {'higher' if self.difference >= 0 else 'lower'}"
        interval = ""
        if self.lower == self.lower:
            ends = f"{100 * self.lower:+.1f} to {100 * self.upper:+.1f}"
            interval = f" ({percent(self.level, 0)} interval {ends}; P(better) {self.p_better:.2f})"
        return f"The model's {self.target} is {size} under {self.arm} than under {self.comparator}{interval}."

    def _reasons(self) -> list[str]:
        found = [f"For an average patient, the difference is {points(self.base_value)}."]
        for which, sign in (("In favor of", 1), ("Against", -1)):
            parts = [
                f"{self._of(name, self.values.get(name))} ({fixed(100 * amount, '+.1f')})"
                for name, amount in self.attributions.items()
                if sign * amount >= 0.0005
            ]
            if parts:
                found.append(f"{which} {self.arm}: {', '.join(parts[:_MOST_NAMED])}.")
        return found

    def _uncertainty(self) -> list[str]:
        order = sorted(self.shares.items(), key=lambda item: -item[1])
        parts = [f"{SOURCES[name]} ({percent(share, 0)})" for name, share in order if share >= 0.005]
        return [f"The uncertainty of the difference comes from {', '.join(parts)}."] if parts else []

    def _what_changes(self) -> str:
        found = [each for each in self.changes if each.arms]
        if not found:
            examined = {each.covariate for each in self.changes if each.note == CHANGE_NOTES["none"]}
            n = f"the {count_of(len(examined), 'covariate')} examined"
            return f"No change within its range of one of {n} would put another arm on top."
        parts: dict[str, list[str]] = {}
        for each in found[:_MOST_CHANGES]:
            arms = " or ".join(map(str, each.arms))
            parts.setdefault(arms, []).append(self._of(each.covariate, each.value))
        changes = [f"{arms}, with {' or '.join(values)}" for arms, values in parts.items()]
        more = len(found) - _MOST_CHANGES
        rest = f" ({count_of(more, 'further change')} in to_frame())" if more > 0 else ""
        return f"The top arm would be {'; '.join(changes)}{rest}."

    def _of(self, name: str, value: Any) -> str:
        if value is None:
            return f"{self.label(name)} missing"
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        return f"{self.label(name)} = {shown} {self.units.get(name, '')}".rstrip()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the attributions, in favor of the arm and against it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.barh` for the bars.

        Returns
        -------
        matplotlib Axes
        """
        import pandas as pd

        from treatsel._reporting import plots

        amounts = pd.Series(dict(self.attributions), dtype="float64")
        labels = {name: self._of(name, self.values.get(name)) for name in self.attributions}
        what = f"difference in the model's {self.target}, {self.arm} minus {self.comparator}"
        return plots.attributions(
            amounts, labels=labels, xlabel=f"Attribution to the {what}", ax=ax, **kwargs
        )


def _text(value: Any) -> str | None:
    return None if value is None else as_text(value)
