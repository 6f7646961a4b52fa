"""The codebook of a patient table: name, type, role, unit and range of each column.

A codebook is a YAML or JSON file in the vocabulary of the Frictionless Table Schema
(https://specs.frictionlessdata.io/table-schema/), extended by `role`, `unit` and, for outcomes,
`event_is_good`, `score`, `start`, `target` and `definition`, and for safety items `flag`.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treatsel._checks import (
    LOST_HEADER,
    MOST_NAMES,
    as_pandas,
    count_of,
    did_you_mean,
    has_lost_header,
    listed,
    look_alikes,
)
from treatsel._files import write_text
from treatsel._lazy import lazy
from treatsel._reporting.summary import Summarized, Summary
from treatsel.codebook._column_match import hides_names, say_normalized, strangers
from treatsel.codebook._comments import commented_yaml, noted, notes_of
from treatsel.codebook._entries import by_name, check_keys, checked_texts
from treatsel.codebook._field import LABELS, ROLES, Field
from treatsel.codebook._files import check_number_of_fields, content_of, read_text
from treatsel.codebook._score import added_outcomes, check_sources, faults_of_sources, subset_of
from treatsel.codebook._titles import summary_of, titles_of
from treatsel.errors import CodebookError, CohortError, Fault

if TYPE_CHECKING:
    import pandas as pd

_MAY_BE_ABSENT = (None, "therapist", "session_score", "process", "date", "safety_item", "undecided")


@dataclass(frozen=True, repr=False)
class Codebook(Summarized):
    """The columns of a patient table and their allowed values.

    Parameters
    ----------
    fields : tuple of Field
        One per column, in order.
    missing_values : tuple of str
        Strings that represent a missing value.

    Raises
    ------
    CodebookError
        If the codebook is inconsistent: a column named twice, two arm columns, a minimum above its
        maximum, a date as a covariate.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": ["a", "b"], "age": [31, 44], "arm": ["CBT", "SSRI"], "remission": [1, 0]})
    >>> codebook = Codebook.infer(frame)
    >>> codebook.arm, codebook.outcomes, codebook.covariates
    ('arm', ('remission',), ('age',))
    >>> codebook["age"].allowed
    'an integer from 30 to 50'
    """

    fields: tuple[Field, ...]
    missing_values: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))
        object.__setattr__(self, "missing_values", checked_texts(self.missing_values))
        names = [field.name for field in self.fields]
        if not names:
            raise CodebookError("The codebook has no fields. List at least the arm and one covariate.")
        check_number_of_fields(len(names))
        if twice := sorted(name for name, n in Counter(names).items() if n > 1):
            raise CodebookError(
                f"The codebook lists {listed(twice)} more than once. Each column must have one entry."
            )
        for role in LABELS:
            if len(found := self.names(role)) > 1:
                raise CodebookError(f"Columns {listed(found)} all have role {role!r}; only one can.")
        check_sources(self.fields)

    def __repr__(self) -> str:
        """Summarize the columns."""
        roles = f"arm {self.arm!r}, outcomes {list(self.outcomes)}, {len(self.covariates)} covariates"
        return f"Codebook({len(self.fields)} columns: {roles})"

    def _summary(self) -> Summary:
        return summary_of([(role, self.names(role)) for role in (*ROLES, None)], self.titles)

    # --- reading and writing

    @classmethod
    def from_dict(cls, content: Any) -> "Codebook":
        """Read a codebook from the content of a YAML or JSON file."""
        if not isinstance(content, Mapping) or not isinstance(content.get("fields"), list):
            raise CodebookError("A codebook must be a mapping with a list named fields.")
        check_keys("The codebook", content)
        check_number_of_fields(len(content["fields"]))
        missing = content.get("missingValues", [""])
        return cls(tuple(Field.from_dict(entry) for entry in content["fields"]), missing)

    @classmethod
    def read(cls, path: str | Path) -> "Codebook":
        """Read a YAML or JSON file.

        Raises
        ------
        CodebookError
            If the file is absent, is not YAML or JSON, or is inconsistent.
        """
        path = Path(path)
        text = read_text(path)
        book = cls.from_dict(content_of(text, path))
        if path.suffix.lower() == ".json":
            return book
        notes = notes_of(text)
        return cls(tuple(replace(f, note=notes.get(f.name, "")) for f in book.fields), book.missing_values)

    def to_dict(self) -> dict[str, Any]:
        """Return the codebook as plain lists and mappings."""
        fields = [field.to_dict() for field in self.fields]
        return {"fields": fields, "missingValues": list(self.missing_values)}

    def to_yaml(self) -> str:
        """Return the codebook as YAML text; the notes of a draft as comments."""
        entries = [(field.note, field.to_dict()) for field in self.fields]
        return commented_yaml(entries, self.to_dict())

    def write(self, path: str | Path) -> None:
        """Write a YAML file, or a JSON file if the name ends in ``.json``.

        Raises
        ------
        CodebookError
            If the file cannot be written.
        """
        path = Path(path)
        as_json = path.suffix.lower() == ".json"
        text = json.dumps(self.to_dict(), indent=2) + "\n" if as_json else self.to_yaml()
        try:
            write_text(path, text)
        except OSError as error:
            raise CodebookError(f"Cannot write the codebook {path}: {error.strerror}.") from error

    # --- drafting

    @classmethod
    def infer(
        cls,
        frame: "pd.DataFrame",
        *,
        arm: str | None = None,
        outcomes: Sequence[str] | None = None,
        site: str | None = None,
        missing_values: Sequence[str] = ("",),
        ranges: bool = True,
    ) -> "Codebook":
        """Draft a codebook from a table; a person should then review it.

        Types come from the values, roles from names, values and associations: a column whose name says that
        it was recorded after treatment began is drafted as a session score (``hamd_6m``, ``phq9_last``) or as
        a process column (``sessions_attended``, ``dropout_reason``). A column that may be an id, a later
        measurement, an outcome in another coding or part of an outcome, or that may hold a number for
        missing, gets the role "undecided", with which no model is trained. What was guessed, and why, is
        noted in each field (`Field.note`) and written as a comment by `to_yaml`.
        Texts such as NA are taken as missing, and this is noted.

        Parameters
        ----------
        frame : DataFrame of shape (n_patients, n_columns)
            The table.
        arm, site : str or None
            Columns of the arm and the site; None guesses from the name.
        outcomes : sequence of str or None
            Columns of the outcomes; None guesses from the name.
        missing_values : sequence of str
            Strings that represent a missing value.
        ranges : bool
            Whether the smallest and largest observed value, rounded outwards, become ``minimum`` and
            ``maximum``.

        Returns
        -------
        Codebook
        """
        import pandas as pd

        from treatsel.codebook._draft import draft_fields, missing_texts

        frame = as_pandas(frame)
        if not isinstance(frame, pd.DataFrame) or not len(frame.columns) or not len(frame):
            raise CodebookError("A codebook can only be drafted from a DataFrame with rows and columns.")
        check_number_of_fields(len(frame.columns))
        table = frame.set_axis([str(name) for name in frame.columns], axis=1)
        if has_lost_header(table):
            raise CodebookError(LOST_HEADER)
        if twice := sorted(set(table.columns[table.columns.duplicated()])):
            raise CodebookError(f"Column names occur more than once: {listed(twice)}. Rename or drop them.")
        missing, known = checked_texts(missing_values), set(table.columns)
        for name in [arm, site, *(outcomes or [])]:
            if name is not None and name not in known:
                raise CodebookError(f"The table has no column {name!r}.{did_you_mean(name, known)}")
        texts = missing_texts(table, missing)
        missing = (*missing, *texts)
        fields = draft_fields(table, arm=arm, outcomes=outcomes, site=site, missing=missing, ranges=ranges)
        return cls(tuple(noted(field, texts) for field in fields), missing)

    def decided(self) -> "Codebook":
        """Return the codebook with the safe reading of what is undecided: such columns are not used."""
        fields = (field.with_role(None) if field.role == "undecided" else field for field in self.fields)
        return Codebook(tuple(fields), self.missing_values)

    def check_decided(self) -> None:
        """Raise if a column has the role undecided.

        Raises
        ------
        CodebookError
            Listing each such column, why it is undecided, and what to do.
        """
        open_fields = [field for field in self.fields if field.role == "undecided"]
        if open_fields:
            listed = "\n".join(f"- {field.name!r}: {field.note or 'no note'}" for field in open_fields)
            raise CodebookError(
                f"Undecided columns of the codebook: {len(open_fields)}. Give each the role covariate, if it "
                f"was known before treatment, another role, or none:\n{listed}"
            )

    def merge(self, edits: "Codebook | Mapping[str, Any] | str | Path") -> "Codebook":
        """Return this draft with edits applied.

        Parameters
        ----------
        edits : Codebook, mapping or path
            A whole codebook, or (a mapping or a file) only the parts that change, in the same form:
            ``{"fields": [{"name": "age", "unit": "years", "constraints": {"maximum": 110}}]}``. Parts that
            the edits do not name are unchanged; a part set to None is removed. If the edits are a Codebook,
            a field without a role removes the role. An outcome that is derived from scores may be new.

        Raises
        ------
        CodebookError
            If the edits are not of that form, or name a column that the draft does not have.
        """
        if isinstance(edits, Codebook):  # a role that was removed by hand must not be restored
            entries = [{"role": None, **field.to_dict()} for field in edits.fields]
            edits = {"fields": entries, "missingValues": edits.missing_values}
        edits = content_of(read_text(Path(edits)), Path(edits)) if isinstance(edits, str | Path) else edits
        check_keys("The edits", edits)
        named = by_name(edits.get("fields", []))
        mine = {field.name for field in self.fields}
        added = (Field.from_dict(entry) for entry in added_outcomes(named, mine))
        fields = (*(field.merge(named.get(field.name, {})) for field in self.fields), *added)
        return Codebook(fields, edits.get("missingValues", self.missing_values))

    def subset(self, names: Iterable[str]) -> "Codebook":
        """Return the codebook of some of the columns, in the order of this codebook.

        An outcome that is derived from scores which are left out becomes an ordinary one.
        """
        return Codebook(subset_of(self.fields, set(names)), self.missing_values)

    # --- looking up

    @lazy
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    def __getitem__(self, name: str) -> Field:
        if (field := self._by_name.get(name)) is not None:
            return field
        known = {field.name for field in self.fields}
        raise CodebookError(f"The codebook has no column {name!r}.{did_you_mean(name, known)}")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._by_name

    def names(self, *roles: str | None) -> tuple[str, ...]:
        """Return the columns with one of `roles` (all columns if none is given)."""
        return tuple(field.name for field in self.fields if not roles or field.role in roles)

    def name(self, role: str) -> str | None:
        """Return the first column with `role`, or None."""
        return next(iter(self.names(role)), None)

    @lazy
    def titles(self) -> dict[str, str]:
        """Titles for readers, by column; a title that several columns share is followed by the name."""
        return titles_of({field.name: field.title for field in self.fields})

    def label(self, name: str) -> str:
        """Return the title of a column, or its name if it has none."""
        return self.titles.get(name, name)

    @property
    def arm(self) -> str | None:
        """The column of the received arm."""
        return self.name("arm")

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The columns of the outcomes."""
        return self.names("outcome")

    @property
    def covariates(self) -> tuple[str, ...]:
        """The columns known before treatment, which a model may use."""
        return self.names("covariate")

    # --- checking

    def parse(
        self, frame: "pd.DataFrame", *, names: Collection[str] | None = None
    ) -> tuple["pd.DataFrame", list[Fault]]:
        """Return columns in clean form, in the order of the codebook, and all faults found in them.

        Columns without a role, session scores, process columns, dates, safety items and derived outcomes may
        be absent; every other column of `names` (None: all) is required. Columns that the codebook does not
        list are left out (`unknown_columns` reports them).
        """
        import pandas as pd

        chosen = None if names is None else set(names)
        wanted = [field for field in self.fields if chosen is None or field.name in chosen]
        existing = Counter(frame.columns.tolist())
        complete = all(field.name in existing for field in wanted)
        hidden = complete or hides_names(self.names(), frame)  # names to suggest are needed, and may be shown
        spare = set() if hidden else {str(name) for name in existing} - set(self.names())
        clean: dict[str, Any] = {}
        faults: list[Fault] = []
        texts: dict[str, int] = {}
        for field in wanted:
            if (n := existing[field.name]) > 1:
                remedy = "Rename or drop all but one of them."
                faults.append(Fault(column=field.name, problem=f"occurs {n} times", remedy=remedy))
            elif n:
                clean[field.name], violations = field.parse(frame[field.name], self.missing_values)
                labels = self._labels(frame, field) if violations else frame.index
                faults += [field.fault(each.code, each.count, each.rows_of(labels)) for each in violations]
                texts[field.name] = field.normalized(
                    frame[field.name], clean[field.name], self.missing_values
                ).count
            elif field.is_derived:
                faults += faults_of_sources(field, existing)
            elif field.role not in _MAY_BE_ABSENT:
                hint = did_you_mean(field.name, spare) if len(faults) < MOST_NAMES else ""
                remedy = f"It holds {field.allowed}; add it, or rename the column that holds it.{hint}"
                faults.append(Fault(column=field.name, problem="is missing from the table", remedy=remedy))
        say_normalized({f"column {name!r} ({count_of(n, 'value')})": n for name, n in texts.items()})
        return pd.DataFrame(clean, index=frame.index), faults

    def with_known_names(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return the frame with the names of this codebook where a name differs only in its normal form."""
        found = look_alikes(frame.columns, self.names())
        say_normalized({f"the name of column {name!r}": 1 for name in found.values()})
        return frame.rename(columns=found) if found else frame

    def _labels(self, frame: "pd.DataFrame", field: Field) -> "pd.Index[Any]":
        """Return the ids of the patients; the index if there are none, or if they are themselves at fault."""
        import pandas as pd

        name, labels = self.name("id"), frame.index
        if name is not None and name != field.name and isinstance(frame.get(name), pd.Series):
            labels = pd.Index(frame[name])
        found: pd.Index[Any] = labels
        return found

    def unknown_columns(self, frame: "pd.DataFrame") -> list[Fault]:
        """Return a fault for each column of `frame` that the codebook does not list.

        If the names may be the values of a patient, because the table has no header, it is a single fault.
        """
        return strangers(self.names(), frame)

    def check(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return `frame` in clean form: all columns known, typed, and within range.

        Raises
        ------
        CohortError
            Listing every fault at once.
        """
        clean, faults = self.parse(frame)
        faults = [*self.unknown_columns(frame), *faults]
        if faults:
            raise CohortError(f"The table does not fit its codebook; faults: {len(faults)}.", faults)
        return clean
