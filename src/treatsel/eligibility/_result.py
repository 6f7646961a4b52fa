"""Which arms are permitted for patients, and the rules that exclude arms or warn of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._lazy import lazy
from treatsel._reporting.summary import Summarized, Summary, count_text
from treatsel.eligibility._logic import TRUE, UNKNOWN, Truth
from treatsel.eligibility._rule import EFFECTS, Rule

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("patient", "arm", "rule", "effect", "reason", "unknown")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why an arm is excluded for a patient, or comes with a warning.

    `effect` is what the rule does for this patient: "exclude", or "warn" for a rule that warns and for any
    rule whose condition is unknown. `unknown` names the columns of the rule that are not known for the
    patient, if they leave its condition unknown.
    """

    arm: Any
    rule: str
    effect: str
    reason: str
    unknown: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        names = ("arm", "rule", "effect", "reason")
        return {name: getattr(self, name) for name in names} | {"unknown": list(self.unknown)}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PatientEligibility(Summarized):
    """The arms that are permitted for one patient.

    `allowed` says for each arm whether it is permitted; `truths` holds, in the order of `rules` (each with
    those of the arms that it concerns), whether a condition is true, false or unknown (None); `unknown` names
    the columns that are not known.
    """

    allowed: Mapping[Any, bool]
    truths: Sequence[Truth]
    rules: Sequence[tuple[Rule, tuple[Any, ...]]]
    unknown: Sequence[str]

    @lazy
    def reasons(self) -> tuple[Reason, ...]:
        """The rules that exclude arms or warn of them, in the order of arms and rules."""
        found = []
        for arm in self.allowed:
            for (rule, arms), truth in zip(self.rules, self.truths, strict=True):
                if arm in arms and truth is not False:
                    unknown = tuple(name for name in rule.columns if name in self.unknown)
                    effect = "warn" if truth is None else rule.effect
                    found.append(
                        Reason(
                            arm=arm,
                            rule=rule.id,
                            effect=effect,
                            reason=rule.reason,
                            unknown=unknown if truth is None else (),
                        )
                    )
        return tuple(found)

    @property
    def excluded(self) -> dict[Any, str]:
        """The reasons for each excluded arm, in one text."""
        return self._texts("exclude")

    @property
    def warned(self) -> dict[Any, str]:
        """The reasons of the warnings of each arm that is permitted, in one text."""
        return {arm: text for arm, text in self._texts("warn").items() if self.allowed[arm]}

    def _texts(self, effect: str) -> dict[Any, str]:
        by_arm: dict[Any, list[str]] = {}
        for each in self.reasons:
            if each.effect == effect:
                by_arm.setdefault(each.arm, []).append(each.reason)
        return {arm: " ".join(dict.fromkeys(texts)) for arm, texts in by_arm.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings."""
        return {
            "allowed": {str(arm): may for arm, may in self.allowed.items()},
            "reasons": [each.to_dict() for each in self.reasons],
        }

    def _summary(self) -> Summary:
        # what holds for one patient is not shown without being asked for
        facts = [("arms", f"{len(self.allowed)}"), ("rules", f"{len(self.rules)}")]
        return Summary(title=type(self).__name__, facts=facts, note="See .allowed and .reasons.")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Eligibility(Summarized):
    """The arms that are permitted for each patient of a table.

    Attributes
    ----------
    patients : Index
        The patients.
    arms : tuple
        The arms.
    rules : sequence of (Rule, arms)
        The rules that were applied, each with those of the arms that it concerns.
    truths : array of shape (n_rules, n_patients)
        0 where the condition of a rule is false, 1 where it is unknown, 2 where it is true.
    unknown : mapping of str to array of bool
        Where a column is unknown.
    """

    patients: "pd.Index[Any]"
    arms: tuple[Any, ...]
    rules: Sequence[tuple[Rule, tuple[Any, ...]]]
    truths: np.ndarray
    unknown: Mapping[str, np.ndarray]

    @lazy
    def allowed(self) -> "pd.DataFrame":
        """Whether an arm is permitted; DataFrame of bool of shape (n_patients, n_arms)."""
        import pandas as pd

        may = np.ones((len(self.patients), len(self.arms)), dtype=bool)
        for (rule, arms), truth in zip(self.rules, self.truths, strict=True):
            if rule.effect == "exclude":
                positions = [self.arms.index(arm) for arm in arms]
                may[np.ix_(truth == TRUE, positions)] = False
        return pd.DataFrame(may, index=self.patients, columns=list(self.arms))

    @lazy
    def reasons(self) -> "pd.DataFrame":
        """One row per patient, arm and rule that excludes the arm or warns of it.

        Columns: patient, arm, rule, effect ("exclude" or "warn", as it holds for the patient), reason, and
        unknown: the columns that are not known, if they leave the condition unknown.
        """
        import pandas as pd

        patients, arms, rules, undecided, unknown = self._positions()
        order = np.lexsort((rules, arms, patients))
        patients, arms, rules = patients[order], arms[order], rules[order]
        undecided, unknown = undecided[order], unknown[order]
        # labels are taken from short columns: to find the type of a million texts takes a second
        warns = np.array([rule.effect == "warn" for rule, _ in self.rules], dtype=bool)[rules] | undecided
        parts = {
            "patient": self.patients.take(patients),
            "arm": pd.Index(self.arms).take(arms),
            "rule": pd.Index([rule.id for rule, _ in self.rules]).take(rules),
            "effect": pd.Index(EFFECTS).take(warns.astype(np.intp)),
            "reason": pd.Index([rule.reason for rule, _ in self.rules]).take(rules),
            "unknown": unknown,
        }
        return pd.DataFrame(parts, columns=list(COLUMNS))

    def texts(self) -> list[tuple[dict[Any, str], dict[Any, str]]]:
        """Return, for each patient, the reasons of each excluded arm and of each arm with a warning."""
        found: list[tuple[dict[Any, list[str]], dict[Any, list[str]]]] = [({}, {}) for _ in self.patients]
        position = {patient: i for i, patient in enumerate(self.patients)}
        rows = self.reasons[["patient", "arm", "effect", "reason"]]
        for patient, arm, effect, reason in rows.itertuples(index=False, name=None):
            found[position[patient]][effect == "warn"].setdefault(arm, []).append(reason)
        return [
            (
                {arm: " ".join(dict.fromkeys(texts)) for arm, texts in excluded.items()},
                {arm: " ".join(dict.fromkeys(texts)) for arm, texts in warned.items() if arm not in excluded},
            )
            for excluded, warned in found
        ]

    def _positions(self) -> tuple[np.ndarray, ...]:
        """Return, for each row of `reasons`: patient, arm, rule, whether undecided, unknown columns."""
        found: list[tuple[np.ndarray, ...]] = []
        for number, ((rule, arms), truth) in enumerate(zip(self.rules, self.truths, strict=True)):
            rows = np.flatnonzero(truth)
            undecided = truth[rows] == UNKNOWN
            columns = _objects([()] * len(rows))
            columns[undecided] = self._unknown_columns(rule, rows[undecided])
            found += [
                (
                    rows,
                    np.full(len(rows), self.arms.index(arm)),
                    np.full(len(rows), number),
                    undecided,
                    columns,
                )
                for arm in arms
            ]
        if not found:
            kinds = (np.intp, np.intp, np.intp, np.bool_, np.object_)
            return tuple(np.zeros(0, dtype=kind) for kind in kinds)
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    def _unknown_columns(self, rule: Rule, rows: np.ndarray) -> np.ndarray:
        """Return the columns of a rule that are not known, by row; equal sets are built once."""
        missing = np.array([self.unknown[name][rows] for name in rule.columns], dtype=bool)
        if not len(rows):
            return _objects([])
        patterns, which = np.unique(np.packbits(missing, axis=0), axis=1, return_inverse=True)
        sets = np.unpackbits(patterns, axis=0, count=len(rule.columns)).T.astype(bool)
        texts = [tuple(compress(rule.columns, absent)) for absent in sets]
        return _objects(texts)[which.ravel()]

    def by_rule(self) -> "pd.DataFrame":
        """Return for each rule the number of patients for whom its condition is true, and unknown."""
        import pandas as pd

        rows = [
            {
                "rule": rule.id,
                "effect": rule.effect,
                "arms": arms,
                "n_true": int((truth == TRUE).sum()),
                "n_unknown": int((truth == UNKNOWN).sum()),
            }
            for (rule, arms), truth in zip(self.rules, self.truths, strict=True)
        ]
        return pd.DataFrame(rows, columns=["rule", "effect", "arms", "n_true", "n_unknown"])

    def to_frame(self) -> "pd.DataFrame":
        """Return a copy of `reasons`."""
        return self.reasons.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings: permissions and reasons of each patient."""
        allowed = self.allowed.to_numpy()
        rows = [dict(zip(map(str, self.arms), row, strict=True)) for row in allowed.tolist()]
        reasons = self.reasons.assign(unknown=self.reasons["unknown"].map(list))
        return {
            "arms": [str(arm) for arm in self.arms],
            "allowed": [
                {"patient": patient, "arms": row}
                for patient, row in zip(self.patients.tolist(), rows, strict=True)
            ],
            "reasons": reasons.to_dict(orient="records"),
        }

    def _summary(self) -> Summary:
        excluded = (~self.allowed).sum()
        facts = [
            ("patients", count_text(len(self.patients))),
            ("rules", f"{len(self.rules)}"),
            ("without an arm", count_text((~self.allowed.any(axis=1)).sum())),
        ]
        rows = [(str(arm), count_text(excluded[arm])) for arm in self.arms]
        return Summary(
            title=type(self).__name__,
            facts=facts,
            columns=("arm", "patients for whom it is excluded"),
            rows=rows,
            note="See .allowed, .reasons and .by_rule().",
        )


def _objects(values: Sequence[Any]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        found[i] = value
    return found
