"""`Recommendations`: the recommended arm of each patient, with status and uncertainty."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, count_of
from treatsel._disclosure import SMALLEST_GROUP, suppressed
from treatsel._reporting.summary import Summarized, Summary
from treatsel.predictions import (
    header,
    plain,
    scope_columns,
    scope_dicts,
    table_of_flags,
    warnings_of,
)
from treatsel.recommendation._outcomes import PatientOutcomes
from treatsel.recommendation._reasons import plain_reasons

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

LABELS = (
    "arm",
    "status_reasons",
    "best_set",
    "top",
    "comparator",
    "excluded",
)  # columns that hold labels, not numbers


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Recommendations(Summarized):
    """Recommended arms with status and uncertainty, for one patient or many.

    The fields are plain arrays, so that a service can recommend without pandas; `to_frame` gives a table.

    Attributes
    ----------
    patients : sequence of shape (n_patients,)
        Patient ids: the index of a table; for a record, its id, or 0 if it has none.
    arms : tuple
        Arms, in the order of `utilities`.
    columns : mapping of str to ndarray of shape (n_patients,)
        arm: the recommended arm; None if the patient is out of scope, no arm is permitted, or several
        arms are tied for the highest utility (within 1e-12) and the default arm is not one of them.
        status: one of ``STATUSES``.
        status_reasons: tuple of pairs (code, and the arm, column or outcome that it is about) that explain
        the status; the codes are those of ``STATUS_REASONS`` or, for a patient out of scope, of warnings.
        best_set: tuple of arms of which an arm drawn at random loses at most `margin` on average.
        gain, gain_lower, gain_upper: utility of the recommended arm minus that of the comparator, -1 to 1,
        with its interval. p_better: posterior probability that it is above 0. NaN without a comparator.
        regret: expected loss of utility by the recommended arm instead of the patient's best one.
        p_best: posterior probability that the recommended arm is the best.
        advantage, advantage_lower, advantage_upper: utility of the top arm minus that of the best other arm,
        with its interval, which is simultaneous over the other arms; a detail, on which no status rests.
        top: the permitted arm with the highest utility; None if tied. comparator: the arm compared with; None
        if it is not permitted. excluded: mapping of arm to reason.
    comparisons : mapping of str to ndarray of shape (n_patients, n_arms)
        Of every arm: difference to the comparator with lower and upper limit, p_better,
        p_relevantly_better (by more than `margin`), regret, p_regret (above `margin`), p_best, and
        p_above_top (better than the top arm by more than `margin`); NaN where an arm is not permitted.
    utilities : ndarray of shape (n_patients, n_arms)
        The compared values: 0 to 1, higher is better.
    rule : str
        "expected", "switch" or "default".
    margin : float
        Smallest difference that matters.
    level : float
        Level of the intervals.
    p_switch : float
        Probability above which the rule "switch" leaves the default arm.
    default_arm : label or None
        The arm that takes ties, and where the rules "switch" and "default" stay.
    comparator : label or None
        The arm with which the others are compared.
    preferences : mapping of str to float, or None
        Weight of each outcome, as given; only their ratios matter. None without a model.
    excluded : mapping of label to str
        Arms that are not available to any patient, with reasons.
    flags : mapping of str to sequence, or None
        Warnings as in `Predictions.flags`; None for a recommendation from a by-arm table without a model.
    audit : mapping or None
        Model, versions, input and options as in `Predictions.audit`; None without a model.
    outcomes : PatientOutcomes or None
        Predictions and draws of each outcome, which `to_html` shows; None without a model, and for several
        patients. It is no part of `to_dict`, nor of a copy.
    """

    patients: Any
    arms: tuple[Any, ...]
    columns: Mapping[str, np.ndarray]
    comparisons: Mapping[str, FloatArray]
    utilities: FloatArray
    rule: str
    margin: float
    level: float
    p_switch: float
    default_arm: Any = None
    comparator: Any = None
    preferences: Mapping[str, float] | None = None
    excluded: Mapping[Any, str] = field(default_factory=dict)
    flags: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None
    outcomes: PatientOutcomes | None = None

    @classmethod
    def join(cls, parts: Sequence["Recommendations"], patients: Any) -> "Recommendations":
        """Join recommendations of several blocks of patients by the same rule."""
        names = parts[0].columns
        return replace(
            parts[0],
            patients=patients,
            columns={name: np.concatenate([part.columns[name] for part in parts]) for name in names},
            comparisons={
                name: np.concatenate([part.comparisons[name] for part in parts])
                for name in parts[0].comparisons
            },
            utilities=np.concatenate([part.utilities for part in parts]),
        )

    def _counts(self, values: Any) -> list[tuple[str, str]]:
        """Return each value with its number of patients, the most frequent first; small counts are hidden."""
        names, counts = np.unique([str(value) for value in values], return_counts=True)
        shown = suppressed(counts)
        order = np.argsort(-counts, kind="stable")
        return [
            (names[i], "not shown (small counts)" if shown[i] != shown[i] else f"{counts[i]:,}")
            for i in order
        ]

    def __repr__(self) -> str:
        """Return the number of patients with each status, without data of single patients."""
        start = f"Recommendations({count_of(len(self.patients), 'patient')}"
        if len(self.patients) < SMALLEST_GROUP:
            return f"{start}, {count_of(len(self.arms), 'arm')})"
        statuses = self._counts(self.columns["status"])
        found = [f"{n} {status}" for status, n in statuses if n[0].isdigit()]
        hidden = ["small counts not shown"] if len(found) < len(statuses) else []
        return f"{start}: {', '.join(found + hidden)})"

    def _summary(self) -> Summary:
        n = len(self.patients)
        rows = [
            ("status", name.replace("_", " "), count) for name, count in self._counts(self.columns["status"])
        ]
        chosen = ["no arm" if arm is None else arm for arm in self.columns["arm"]]
        rows += [("recommended arm", name, count) for name, count in self._counts(chosen)]
        return Summary(
            title="Recommendations",
            headline=f"{count_of(n, 'patient')}, {count_of(len(self.arms), 'arm')}",
            facts=[
                ("rule", self.rule),
                ("smallest difference that matters", f"{self.margin:g}"),
                ("confidence level", f"{100 * self.level:g}%"),
            ],
            columns=("", "", "Patients"),
            rows=() if n < SMALLEST_GROUP else rows,
            note="to_frame() shows each patient.",
        )

    @property
    def table(self) -> "pd.DataFrame":
        """The columns as a table, one row per patient."""
        import pandas as pd

        index = pd.Index(self.patients)
        columns = {
            name: pd.Series(values, index=index, dtype="object" if name in LABELS else None)
            for name, values in self.columns.items()
        }
        return pd.DataFrame(columns, index=index)

    @property
    def utility(self) -> "pd.DataFrame":
        """The compared values as a by-arm table."""
        import pandas as pd

        return pd.DataFrame(self.utilities.copy(), index=pd.Index(self.patients), columns=pd.Index(self.arms))

    def compared(self) -> "pd.DataFrame":
        """Return what is known of every arm, one row per patient and arm.

        Columns: utility, and those of `comparisons`.
        """
        import pandas as pd

        index = pd.MultiIndex.from_product(
            [pd.Index(self.patients), list(self.arms)], names=["patient", "arm"]
        )
        tables = {"utility": self.utilities, **self.comparisons}
        return pd.DataFrame({name: table.ravel() for name, table in tables.items()}, index=index)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per patient; of a model's recommendations also the scope, as in `Predictions`."""
        if self.flags is None:
            return self.table
        return self.table.assign(**scope_columns(self.patients, self.flags))

    @property
    def warnings(self) -> "pd.DataFrame":
        """Warnings, as in `Predictions`: columns patient, code and column; empty without a model."""
        return table_of_flags(self.flags)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a number that does not exist is None, never NaN.

        The keys are described in the reference page "The JSON of predictions".
        """
        preferences = self.preferences
        scopes = scope_dicts(self.patients, self.flags)
        rows = [
            self._row(i, patient) | scope
            for i, (patient, scope) in enumerate(zip(self.patients, scopes, strict=True))
        ]
        return {
            **header("recommendations"),
            "rule": self.rule,
            "margin": self.margin,
            "level": self.level,
            "p_switch": self.p_switch,
            "comparator": plain(self.comparator),
            "preferences": None if preferences is None else {k: float(v) for k, v in preferences.items()},
            "default_arm": plain(self.default_arm),
            "excluded": {str(arm): str(reason) for arm, reason in self.excluded.items()},
            "recommendations": rows,
            "warnings": warnings_of(self.flags),
            "audit": None if self.audit is None else dict(self.audit),
        }

    def _row(self, i: int, patient: Any) -> dict[str, Any]:
        """Return the recommendation of one patient as plain values."""
        row = {name: plain(values[i]) for name, values in self.columns.items() if name not in LABELS[1:]}
        utilities = zip(self.arms, self.utilities[i].tolist(), strict=True)
        compared = {
            str(arm): {name: plain(table[i, k]) for name, table in self.comparisons.items()}
            for k, arm in enumerate(self.arms)
        }
        return {
            "patient": plain(patient),
            **row,
            "status_reasons": plain_reasons(self.columns["status_reasons"][i]),
            "best_set": [plain(arm) for arm in self.columns["best_set"][i]],
            "top": plain(self.columns["top"][i]),
            "excluded": {str(arm): str(reason) for arm, reason in self.columns["excluded"][i].items()},
            "comparator": plain(self.columns["comparator"][i]),
            "utility": {str(arm): plain(value) for arm, value in utilities},
            "compared": compared,
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_html(
        self,
        path: "str | Path | None" = None,
        *,
        strings: "Mapping[str, Any] | str | Path | None" = None,
        safety_items: Sequence[str] = (),
        next_question: Any = None,
        explanation: str | Sequence[str] = (),
        follow_up: str | None = None,
        patient: str | None = None,
    ) -> str:
        """Return the page that one patient and a clinician look at together, as one self-contained HTML text.

        It shows for each permitted arm the predicted outcomes as people of 100 with intervals, what speaks
        for and against it, the order at the weights of this recommendation, at equal weights and by the first
        outcome alone, and what is not known; for the clinician, all comparisons. Sliders change the weights:
        a script in the page decides anew from the embedded draws, with the rules of `treatsel.recommend`.
        Without a script the page shows the same numbers. It loads nothing, and names no patient.

        Parameters
        ----------
        path : str or Path, optional
            File to write the page to as well.
        strings : mapping, or path of a YAML or JSON file, optional
            Words in place of the English ones in ``treatsel/page/strings.yaml``: a translation, names and
            descriptions of arms, how to say an outcome.
        safety_items : sequence of str
            Answers about safety, shown first.
        next_question : str or NextQuestion, optional
            What to ask next.
        explanation : str or sequence of str
            Why this recommendation, shown to the clinician.
        follow_up : str, optional
            What to do if the treatment does not work; None: a general sentence.
        patient : str, optional
            How the page names the patient; None: not at all.

        Returns
        -------
        str
            The page.

        Raises
        ------
        InputError
            If there are several patients, the recommendation was not made by a model, or strings do not fit.

        References
        ----------
        Trevena et al. (2013), BMC Med Inform Decis Mak 13(S2):S7 (presenting probabilities).
        Zikmund-Fisher et al. (2012), J Med Internet Res 14(4):e106 (icon arrays).
        Witteman et al. (2021), Med Decis Making 41(7), 801-820 (weighing what matters).

        Examples
        --------
        >>> import pandas as pd
        >>> from treatsel.recommendation import recommend
        >>> table = pd.DataFrame({"CBT": [0.60, 0.41], "SSRI": [0.40, 0.40]})
        >>> recommend(table).to_html()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        treatsel.errors.InputError: The page is about one patient; these recommendations are for 2. ...
        """
        from treatsel._files import write_text
        from treatsel.recommendation._page import page_text

        text = page_text(
            self,
            strings,
            safety_items=safety_items,
            next_question=next_question,
            explanation=explanation,
            follow_up=follow_up,
            patient=patient,
        )
        if path is not None:
            write_text(path, text)
        return text

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw each patient's gain over the comparator with its interval; color and marker show the status.

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
        from treatsel._reporting import plots

        table = self.table
        ends = plots.intervals_of(self.level, any_finite=bool(table["gain_lower"].notna().any()))
        label = f"Recommended arm minus {self.comparator}: difference in utility ({ends})"
        return plots.gains(table, ax, xlabel=label, **kwargs)
