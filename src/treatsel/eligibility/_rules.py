"""Rules of eligibility: reading, checking against a codebook, and application to a record or a table."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import as_pandas, check_unique, count_of, listed, names_in
from treatsel._content import content_of
from treatsel._lazy import lazy
from treatsel._reporting.summary import Summarized, Summary
from treatsel.codebook import Codebook, plain_record
from treatsel.eligibility._applied import Applied
from treatsel.eligibility._column import UNREADABLE, Column
from treatsel.eligibility._reading import arms_of, misfits, read_content, repeated
from treatsel.eligibility._result import Eligibility, PatientEligibility
from treatsel.eligibility._rule import KEYS, Rule
from treatsel.errors import CohortError, Fault, InputError

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 2**20  # of a file of rules


@dataclass(frozen=True, kw_only=True, repr=False)
class Rules(Summarized):
    """Dated rules of eligibility: for whom which arms are excluded, or come with a warning.

    All rules are evaluated, in three-valued logic: a missing value makes a condition unknown unless the rest
    decides it. A true condition has the effect of its rule; an unknown one warns and never excludes.

    Parameters
    ----------
    rules : sequence of Rule
        The rules, each with an id of its own.
    title : str
        What the rules are.
    limits : sequence of str
        What the rules do not cover.
    codebook : Codebook or None
        The columns that the conditions read. Rules can be read without, and applied only with a codebook
        (`for_codebook`).
    arms : sequence or None
        The arms. None: those of the codebook, else those that the rules name.

    Raises
    ------
    InputError
        If rules share an id, or do not fit the codebook; `faults` lists all faults.

    Examples
    --------
    >>> import pandas as pd
    >>> from treatsel.codebook import Codebook, Field
    >>> columns = (
    ...     Field(name="qt_ms", type="number", role="covariate"),
    ...     Field(name="arm", role="arm", enum=("cbt", "ssri")),
    ... )
    >>> rules = Rules.from_dict(
    ...     {
    ...         "source": "Example",
    ...         "version": "1",
    ...         "date": "2026-11-01",
    ...         "rules": [
    ...             {
    ...                 "id": "long-qt",
    ...                 "arms": ["ssri"],
    ...                 "when": "qt_ms > 460",
    ...                 "effect": "exclude",
    ...                 "reason": "The QT interval is prolonged.",
    ...             }
    ...         ],
    ...     },
    ...     codebook=Codebook(columns),
    ... )
    >>> found = rules.apply(pd.DataFrame({"qt_ms": [410.0, 470.0, None]}, index=["a", "b", "c"]))
    >>> found.allowed
        cbt   ssri
    a  True   True
    b  True  False
    c  True   True
    >>> found.reasons[["patient", "arm", "rule", "effect", "unknown"]]
      patient   arm     rule   effect   unknown
    0       b  ssri  long-qt  exclude        ()
    1       c  ssri  long-qt     warn  (qt_ms,)
    >>> rules.apply_record({"qt_ms": 470.0}).excluded
    {'ssri': 'The QT interval is prolonged.'}
    """

    rules: tuple[Rule, ...]
    title: str = ""
    limits: tuple[str, ...] = ()
    codebook: Codebook | None = None
    arms: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        object.__setattr__(self, "limits", tuple(self.limits))
        if not self.rules or not all(isinstance(rule, Rule) for rule in self.rules):
            raise InputError("Rules need a list of one rule or more (see treatsel.eligibility.Rule).")
        faults = repeated([rule.id for rule in self.rules])
        if self.codebook is not None:
            arms = arms_of(self.codebook, self.arms, self.rules)
            object.__setattr__(self, "arms", arms)
            for rule in self.rules:
                faults += misfits(f"rule {rule.id!r}", rule.condition, rule.arms, self.codebook, arms)
        if faults:
            raise InputError(f"The rules have {count_of(len(faults), 'fault')}:", faults)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # closures are not copied

    # --- reading

    @classmethod
    def read(
        cls, path: str | Path, *, codebook: Codebook | None = None, arms: Sequence[Any] | None = None
    ) -> "Rules":
        """Read rules from a YAML file, or a JSON file if its name ends in ``.json``.

        The file is a mapping with a list ``rules``, and the optional keys title, limits (a text or a list of
        texts), source, version and date; the last three hold for all rules that do not give their own. An
        entry of ``rules`` has the keys of `Rule`.

        Parameters
        ----------
        path : path
            The file, of at most 1 MiB and 1,000 rules.
        codebook : Codebook, optional
            Columns and arms that the rules may name. None: they are checked by `for_codebook`.
        arms : sequence, optional
            The arms, such as ``selector.arms_``. None: those of the codebook.

        Raises
        ------
        InputError
            If the file cannot be read or has faults; `faults` lists all of them.
        """
        return cls._of(
            content_of(Path(path), "rules", most=MAX_BYTES), codebook, arms, f"{path} does not state rules"
        )

    @classmethod
    def from_dict(
        cls, content: Any, *, codebook: Codebook | None = None, arms: Sequence[Any] | None = None
    ) -> "Rules":
        """Read rules from the content of a file; see `read`."""
        return cls._of(content, codebook, arms, "The rules cannot be used")

    @classmethod
    def example(cls, *, codebook: Codebook | None = None, arms: Sequence[Any] | None = None) -> "Rules":
        """Return the example pack, for the columns of the synthetic cohorts.

        It shows rules in the spirit of NICE guideline NG222 and is not that guideline; nothing uses it unless
        it is passed explicitly. `limits` states what it does not cover.
        """
        text = resources.files("treatsel").joinpath("eligibility/example.yaml")
        with resources.as_file(text) as path:
            return cls.read(path, codebook=codebook, arms=arms)

    @classmethod
    def _of(
        cls, content: Any, codebook: Codebook | None, arms: Sequence[Any] | None, message: str
    ) -> "Rules":
        entries, title, limits = read_content(content, codebook, arms, message)
        return cls(
            rules=tuple(Rule(**entry) for entry in entries),
            title=title,
            limits=limits,
            codebook=codebook,
            arms=None if arms is None else tuple(arms),
        )

    def for_codebook(self, codebook: Codebook, *, arms: Sequence[Any] | None = None) -> "Rules":
        """Return these rules, checked against the columns and arms of a codebook.

        Raises
        ------
        InputError
            If a column is unknown or not known before treatment, a literal does not fit its column, or an arm
            is unknown; `faults` lists all faults.
        """
        return Rules(
            rules=self.rules,
            title=self.title,
            limits=self.limits,
            codebook=codebook,
            arms=None if arms is None else tuple(arms),
        )

    @classmethod
    def of(cls, eligibility: "Rules | str | Path", codebook: Codebook, arms: Sequence[Any]) -> "Rules":
        """Return rules, or those of a file, checked against the columns of a codebook and against arms.

        Rules that were checked against the same codebook and arms before are returned as they are.

        Raises
        ------
        InputError
            If they are neither rules nor a path, or do not fit.
        """
        if isinstance(eligibility, str | Path):
            return cls.read(eligibility, codebook=codebook, arms=arms)
        if not isinstance(eligibility, Rules):
            raise InputError(
                "eligibility must be treatsel.eligibility.Rules or the path of a file of rules, not a "
                f"{type(eligibility).__name__}."
            )
        if eligibility.codebook is codebook and eligibility.arms == tuple(arms):
            return eligibility
        return eligibility.for_codebook(codebook, arms=arms)

    # --- looking up

    @lazy
    def columns(self) -> tuple[str, ...]:
        """The columns that the conditions read, in the order in which they first occur."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.columns))

    def __len__(self) -> int:
        return len(self.rules)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per rule."""
        import pandas as pd

        return pd.DataFrame([{key: getattr(rule, key) for key in KEYS} for rule in self.rules])

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a file that states these rules."""
        return {
            "title": self.title,
            "limits": list(self.limits),
            "rules": [rule.to_dict() for rule in self.rules],
        }

    def _summary(self) -> Summary:
        rows = [(rule.id, rule.effect, ", ".join(map(str, rule.arms)), str(rule.date)) for rule in self.rules]
        return Summary(
            title="Rules",
            headline=self.title,
            facts=[("rules", f"{len(self.rules)}"), ("limits", " ".join(self.limits) or "none stated")],
            columns=("rule", "effect", "arms", "date"),
            rows=rows,
        )

    @lazy
    def sha256(self) -> str:
        """Digest of the rules, which identifies them in audit records."""
        content = json.dumps(self.to_dict(), sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()

    # --- application

    def apply(self, table: "pd.DataFrame") -> Eligibility:
        """Apply all rules to the patients of a table.

        Parameters
        ----------
        table : DataFrame of shape (n_patients, n_columns)
            Patients, with the columns of the rules (`columns`), such as ``cohort.frame``; further columns are
            not read. Values outside the range of the codebook are compared as they are.

        Returns
        -------
        Eligibility

        Raises
        ------
        InputError
            If the rules have not been checked against a codebook, or patients occur more than once.
        CohortError
            If the table lacks a column, or holds values that are not of the type of their column.
        """
        import pandas as pd

        applied = self._applied
        table = as_pandas(table)
        if not isinstance(table, pd.DataFrame):
            raise InputError(f"Rules are applied to a DataFrame, not to a {type(table).__name__}.")
        check_unique("The patients (index) of the table", table.index)
        names = applied.columns
        _check_present([name for name in names if name not in table.columns], names_in(table))
        check_unique("The columns of the table", [name for name in table.columns if name in names])
        vectors = {name: column.vector(table[name]) for name, column in names.items()}
        _check_readable(
            {name: table.index[vector.unreadable] for name, vector in vectors.items()}, applied.columns
        )
        truths = [test(vectors) for test in applied.table_tests]
        return Eligibility(
            patients=table.index,
            arms=self.arms or (),
            rules=applied.rules,
            truths=np.array(truths, dtype=np.int8),
            unknown={name: vector.unknown for name, vector in vectors.items()},
        )

    def apply_record(self, record: Mapping[str, Any]) -> PatientEligibility:
        """Apply all rules to the record of one patient, without pandas.

        Parameters
        ----------
        record : mapping of str to value
            One patient, with the columns of the rules; None or NaN where a value is not known.

        Returns
        -------
        PatientEligibility

        Raises
        ------
        InputError
            If the rules have not been checked against a codebook, or the record cannot be read.
        CohortError
            If the record lacks a column, or a value is not of the type of its column.
        """
        applied = self._applied
        if type(record) is not dict:
            record = plain_record(record)
        if not applied.columns.keys() <= record.keys():
            _check_present([name for name in applied.columns if name not in record], listed(record))
        values = [read(record[name]) for name, read in applied.readers]
        if UNREADABLE in values:
            _check_readable(
                {
                    name: [0] * (each is UNREADABLE)
                    for name, each in zip(applied.columns, values, strict=True)
                },
                applied.columns,
            )
        truths = [test(values) for test in applied.record_tests]
        allowed = applied.permitted.copy()
        for number, arms in applied.exclusions:
            if truths[number]:
                allowed.update(arms)
        unknown = [name for name, value in zip(applied.columns, values, strict=True) if value is None]
        return PatientEligibility(allowed=allowed, truths=truths, rules=applied.rules, unknown=unknown)

    @lazy
    def _applied(self) -> "Applied":
        if self.codebook is None:
            raise InputError(
                "The rules have not been checked against a codebook. Use rules.for_codebook(codebook), or "
                "pass codebook= when they are read."
            )
        return Applied(self.rules, self.codebook, self.arms or ())


def _check_present(missing: Sequence[str], given: str) -> None:
    remedy = f"The columns are {given}. Give a missing value where it is not known."
    faults = [Fault(column=name, problem="is missing", remedy=remedy) for name in missing]
    if faults:
        raise CohortError("The rules cannot be applied:", faults)


def _check_readable(rows: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
    faults = [
        columns[name].field.fault("wrong_type", len(found), tuple(found))
        for name, found in rows.items()
        if len(found)
    ]
    if faults:
        raise CohortError("The rules cannot be applied:", faults)
