"""`Recommendations`: the recommended arm of each patient, with status and uncertainty."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, count_of
from treatsel._disclosure import SMALLEST_GROUP, suppressed
from treatsel._reporting.summary import Summarized, Summary
from treatsel._stats.ties import best_shares
from treatsel.predictions import (
    applicability_of,
    header,
    plain,
    safety_column,
    safety_flags,
    scope_columns,
    scope_dicts,
    table_of_flags,
    warnings_of,
)
from treatsel.recommendation._one_patient import OfOnePatient
from treatsel.recommendation._outcomes import PatientOutcomes
from treatsel.recommendation._reasons import plain_reasons

if TYPE_CHECKING:
    import pandas as pd

LABELS = (
    "arm",
    "status_reasons",
    "best_set",
    "top",
    "comparator",
    "excluded",
    "warned",
)  # columns that hold labels, not numbers


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Recommendations(OfOnePatient, Summarized):
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
        arms are tied for the highest utility (within 1e-12) and the comparator is not one of them.
        status: one of ``STATUSES``.
        status_reasons: tuple of pairs (code, and the arm, column or outcome that it is about) that explain
        the status; the codes are those of ``STATUS_REASONS`` or, for a patient out of scope, of warnings.
        best_set: tuple of arms of which an arm drawn at random loses at most `margin` on average.
        difference, difference_lower, difference_upper: utility of the recommended arm minus that of the
        comparator, -1 to 1, with its interval. p_better: posterior probability that it is above 0. NaN
        without a comparator. expected_regret: expected loss of utility by the recommended arm instead of the
        patient's best one.
        p_best: posterior probability that the recommended arm is the best.
        advantage, advantage_lower, advantage_upper: utility of the top arm minus that of the next best, with
        its interval; a detail, on which no status rests.
        top: the permitted arm with the highest utility; None if tied. comparator: the arm compared with; None
        if it is not permitted. excluded: mapping of arm to reason. warned: mapping of arm to the reasons for
        which eligibility rules warn of it.
    comparisons : mapping of str to ndarray of shape (n_patients, n_arms)
        Of every arm: difference to the comparator, difference_lower, difference_upper, p_better,
        p_relevantly_better (by more than `margin`), expected_regret, p_regret (regret above `margin`),
        p_best, and p_above_top (better than the top arm by more than `margin`); NaN where an arm is not
        permitted.
    utilities : ndarray of shape (n_patients, n_arms)
        The compared values, higher is better: 0 to 1; with ranges of criteria, 0 to 1 within them.
    rule : str
        "expected", "switch" or "default".
    margin : float
        Smallest difference that matters.
    level : float
        Level of the intervals.
    p_switch : float
        Probability above which the rule "switch" leaves the comparator.
    default_arm : label or None
        What the rule "default" gives.
    comparator : label or None
        The arm with which the others are compared; it takes ties, and is where the rule "switch" stays.
    preferences : mapping of str to float, or None
        Weight of each outcome, as given; only their ratios matter. Of `Preferences`, the mean weight of each
        criterion. None without a model.
    excluded : mapping of label to str
        Arms that are not available to any patient, with reasons.
    flags : mapping of str to sequence, or None
        Warnings as in `Predictions.flags`; None for a recommendation from a by-arm table without a model.
    audit : mapping or None
        Model, versions, input and options as in `Predictions.audit`; None without a model.
    outcomes : PatientOutcomes or None
        Predictions and draws of each outcome, which `to_html` shows; None without a model, and for several
        patients. It is no part of `to_dict`, nor of a copy.
    safety_items : tuple of str
        Columns that the codebook declares as safety items, as in `Predictions`. No recommendation rests on
        them.
    titles : mapping of str to str
        Titles of columns for readers, as in `Predictions`.
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
    safety_items: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)

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

    def shares(self) -> "pd.DataFrame":
        """Return the share of each arm in each patient's recommendation, as `validate` values it.

        Returns
        -------
        DataFrame of shape (n_patients, n_arms)
            1 for the recommended arm; arms tied for the highest utility share a patient equally, as under a
            fair draw. All 0 where no arm is recommended (out of scope, or no arm is permitted).

        Examples
        --------
        >>> import pandas as pd
        >>> from treatsel import recommend
        >>> by_arm = pd.DataFrame({"CBT": [0.6, 0.4], "SSRI": [0.5, 0.4]})
        >>> recommend(by_arm).shares().to_numpy().tolist()
        [[1.0, 0.0], [0.5, 0.5]]
        """
        import pandas as pd

        arms = pd.Index(list(self.arms), dtype=object)
        chosen = arms.get_indexer(pd.Index(self.columns["arm"], dtype=object))
        shares = np.zeros((len(chosen), len(arms)))
        given = np.flatnonzero(chosen >= 0)
        shares[given, chosen[given]] = 1.0
        tied = np.flatnonzero((chosen < 0) & (self.columns["status"] != "out_of_scope"))
        if len(tied):  # tied for the highest utility
            values = self.utilities[tied].copy()
            for row, excluded in zip(values, self.columns["excluded"][tied], strict=True):
                row[arms.isin(list(excluded))] = -np.inf
            shares[tied] = best_shares(values, None)
        return pd.DataFrame(shares, index=pd.Index(self.patients), columns=pd.Index(self.arms))

    def compared(self) -> "pd.DataFrame":
        """Return what is known of every arm, one row per patient and arm.

        Columns: utility, and those of `comparisons`.
        """
        import pandas as pd

        labels = [pd.Index(self.patients), list(self.arms)]
        index = pd.MultiIndex.from_product(labels, names=["patient", "arm"])
        tables = {"utility": self.utilities, **self.comparisons}
        return pd.DataFrame({name: table.ravel() for name, table in tables.items()}, index=index)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per patient; of a model's recommendations also the scope, as in `Predictions`.

        The first column is `safety`, if the codebook declares safety items.
        """
        if self.flags is None:
            return self.table
        table = self.table.assign(**scope_columns(self.patients, self.flags))
        if self.safety_items:
            table.insert(0, "safety", safety_column(self.patients, self.flags))
        return table

    @property
    def safety(self) -> "pd.DataFrame":
        """Warnings about safety items alone, as in `Predictions`; to be read first."""
        return table_of_flags(safety_flags(self.flags))

    def applicability(self) -> list[tuple[Any, str]]:
        """Return what limits the use of the model, as in `Predictions`; empty without a model."""
        return applicability_of(self.flags, self.titles)

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
            "safety": warnings_of(safety_flags(self.flags)),
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
            **{
                name: {str(arm): str(reason) for arm, reason in self.columns[name][i].items()}
                for name in ("excluded", "warned")
            },
            "comparator": plain(self.columns["comparator"][i]),
            "utility": {str(arm): plain(value) for arm, value in utilities},
            "compared": compared,
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw each patient's difference to the comparator with its interval; color and marker by status.

        Without a comparator, the advantage over the best other arm is drawn.

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
        of, label = "difference", f"Recommended arm minus {self.comparator}: difference in utility"
        if self.comparator is None:
            of, label = "advantage", "Top arm minus best other arm: difference in utility"
        ends = plots.intervals_of(self.level, any_finite=bool(table[f"{of}_lower"].notna().any()))
        return plots.differences(table, ax, of=of, xlabel=f"{label} ({ends})", **kwargs)
