"""One column of a codebook: its meaning, its allowed values, and the parsing of raw values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import ROUNDING, as_text, normal_text
from treatsel._reporting.text import check_names
from treatsel.codebook._direction import UNSTATED, direction_by
from treatsel.codebook._entries import ATTRIBUTES, CONSTRAINTS, KEYS, attributes_of
from treatsel.codebook._limits import allowed_text, contradictions_of_limits
from treatsel.codebook._score import contradictions_of_flag, contradictions_of_score
from treatsel.codebook._values import (
    CLEAN,
    NAN,
    UNREADABLE,
    as_plain,
    integer_of,
    is_absent,
    is_finite_number,
    truth_of,
)
from treatsel.codebook._violation import Violation, problem_of, remedy_of
from treatsel.errors import CodebookError, Fault

if TYPE_CHECKING:
    import pandas as pd

ROLES = (
    *("id", "covariate", "arm", "outcome", "site", "therapist", "person", "audit"),
    *("session_score", "process", "date", "safety_item", "undecided"),
)
TYPES = ("string", "number", "integer", "boolean", "date", "datetime")
# roles whose values are labels, even if they look like numbers, and that only one column can have
LABELS = ("id", "arm", "site", "therapist", "person")


@dataclass(frozen=True, kw_only=True, repr=False)
class Field:
    """A column: name, type, role, unit and constraints, in the vocabulary of the Table Schema.

    Parameters
    ----------
    name : str
        Column name.
    type : {"string", "number", "integer", "boolean", "date", "datetime"}
        Type of the values.
    role : str or None
        One of ``ROLES``; a column without a role is kept but never used.
    title, description, unit : str
        For human readers.
    event_is_good : bool or None
        Only for outcomes: whether 1 is the good outcome. None: not stated.
    minimum, maximum : float or None
        Smallest and largest allowed value (inclusive).
    enum : tuple or None
        The allowed values.
    required, unique : bool
        Whether missing values, or repeated values, are faults.
    true_values, false_values : tuple of str
        Only for type boolean: the texts (or numbers) that mean true and false, instead of true, false, 1 and
        0; for example ("yes",) and ("no",).
    score, start : str or None
        Only for outcomes: the column of a later score from which the outcome is derived, and that of its
        baseline.
    target : str or None
        The comparison of `score` that is the event: "< 10", "<= 9", "> 9", ">= 50", or "< median".
    definition : mapping or None
        Instead of `score` and `target`, an outcome of `treatsel.outcome` that is defined by scores: its name,
        the column of each input and its options, such as ``{"name": "remission", "last": "phq9_end",
        "instrument": "PHQ-9"}``. It states `event_is_good`.
    flag : str or None
        Only for safety items, which need it: the comparison that flags a patient, such as ">= 1".
    note : str
        What a draft guessed, and why; a comment in the file, and not compared.

    Raises
    ------
    CodebookError
        If the entry is inconsistent.
    """

    name: str
    type: str = "string"
    role: str | None = None
    title: str = ""
    description: str = ""
    unit: str = ""
    event_is_good: bool | None = None
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[Any, ...] | None = field(default=None)
    required: bool = False
    unique: bool = False
    true_values: tuple[str, ...] = ()
    false_values: tuple[str, ...] = ()
    score: str | None = None
    start: str | None = None
    target: str | None = None
    definition: Mapping[str, Any] | None = field(default=None, hash=False)
    flag: str | None = None
    note: str = field(default="", compare=False, repr=False)

    def __repr__(self) -> str:
        """Show name, role, type and limits, but no categories: a draft takes them from patients."""
        content = f"{len(self.enum)} categories" if self.enum is not None else self._limits_text()
        parts = [self.role or "no role", self.type, content, self.unit]
        return f"Field({self.name!r}: {', '.join(part for part in parts if part)})"

    def _limits_text(self) -> str:
        if self.minimum is None and self.maximum is None:
            return ""
        low, high = ("any" if each is None else f"{each:g}" for each in (self.minimum, self.maximum))
        return f"{low} to {high}"

    def __post_init__(self) -> None:
        for bound in ("minimum", "maximum"):
            object.__setattr__(self, bound, as_plain(getattr(self, bound)))
        if self.enum is not None and not isinstance(self.enum, str):
            object.__setattr__(self, "enum", tuple(map(as_plain, self.enum)))
        for key in ("true_values", "false_values"):
            values = getattr(self, key)
            if not isinstance(values, str):
                object.__setattr__(self, key, tuple(as_text(as_plain(value)) for value in values))
        if isinstance(self.definition, Mapping):
            definition = {str(key): as_plain(value) for key, value in self.definition.items()}
            object.__setattr__(self, "definition", definition)
        for problem in self._contradictions():
            raise CodebookError(f"Codebook field {self.name!r}: {problem}")
        if self.definition is not None:
            good = direction_by(self.name, self.event_is_good, self.definition["name"])
            object.__setattr__(self, "event_is_good", good)

    def _contradictions(self) -> list[str]:
        numeric = self.type in ("number", "integer")
        problems = {
            "its name must be text.": not isinstance(self.name, str) or not self.name,
            f"type {self.type!r} is unknown; use one of {list(TYPES)}.": self.type not in TYPES,
            f"role {self.role!r} is unknown; use one of {list(ROLES)}.": self.role not in (*ROLES, None),
            "minimum and maximum need type number or integer.": not numeric
            and (self.minimum is not None or self.maximum is not None),
            "minimum and maximum must be finite numbers.": not all(
                is_finite_number(bound) for bound in (self.minimum, self.maximum) if bound is not None
            ),
            "event_is_good must be true or false.": self.event_is_good not in (None, True, False),
            "required and unique must be true or false.": not (
                isinstance(self.required, bool) and isinstance(self.unique, bool)
            ),
            "event_is_good needs role outcome.": self.event_is_good is not None and self.role != "outcome",
            "trueValues and falseValues must both be lists, without a common entry.": isinstance(
                self.true_values, str
            )
            or isinstance(self.false_values, str)
            or bool(self.true_values) != bool(self.false_values)
            or bool(set(self.true_values) & set(self.false_values)),
            "trueValues holds 0, or falseValues 1. Leave both out; an outcome has event_is_good.": "0"
            in self.true_values
            or "1" in self.false_values,
            "trueValues and falseValues need type boolean.": bool(self.true_values or self.false_values)
            and self.type != "boolean",
            "a date can never be a covariate; derive a number (days before treatment) from it.": self.role
            == "covariate"
            and self.type in ("date", "datetime"),
            "an outcome is 0 or 1; use type integer or boolean.": self.role == "outcome"
            and self.type not in ("integer", "boolean", "number"),
            "an arm, a site, a therapist, a person or an id is a label; use type string.": self.role in LABELS
            and self.type not in ("string", "integer"),
        }
        shown = [self.name, *(self.enum or ()), *self.true_values, *self.false_values, self.score, self.start]
        check_names(f"Codebook field {self.name!r}", shown, CodebookError)
        derived = (self.role, self.score, self.start, self.target, self.definition)
        found = [problem for problem, holds in problems.items() if holds]
        found += [" ".join(found_in_score)] if (found_in_score := contradictions_of_score(*derived)) else []
        found += contradictions_of_flag(self.role, self.type, self.flag)
        cleaned = partial(self._allowed_values, self.type)
        return found or contradictions_of_limits(self.type, self.minimum, self.maximum, self.enum, cleaned)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Field":
        """Read one entry of ``fields``."""
        return cls(**attributes_of(entry))

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as it is written to a file: without empty parts."""
        entry = {key: getattr(self, ATTRIBUTES.get(key, key)) for key in KEYS if key != "constraints"}
        entry |= {key: list(entry[key]) for key in ATTRIBUTES}
        constraints = {key: getattr(self, key) for key in CONSTRAINTS}
        constraints["enum"] = list(self.enum) if self.enum is not None else None
        entry["definition"] = None if self.definition is None else dict(self.definition)
        entry["constraints"] = {k: v for k, v in constraints.items() if v is not None and v is not False}
        return {k: v for k, v in entry.items() if v is not None and v not in ("", {}, [])}

    def merge(self, entry: Mapping[str, Any]) -> "Field":
        """Return this field with the parts named in `entry` replaced; None removes a part."""
        old = self.to_dict()
        if self.definition is not None and entry.get("definition") is not None:
            del old["event_is_good"]  # which the old definition stated
        merged = {**old, **entry}
        if isinstance(edits := entry.get("constraints", {}), Mapping):
            constraints = {**old.get("constraints", {}), **edits}
            merged["constraints"] = {k: v for k, v in constraints.items() if v is not None}
        found = Field.from_dict({k: v for k, v in merged.items() if v is not None})
        note = self.note if found.event_is_good is None else self.note.replace(UNSTATED, "").strip()
        return replace(found, note=note)

    def with_role(self, role: str | None) -> "Field":
        """Return this field with another role."""
        return replace(self, role=role)

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return allowed_text(self.type, self.minimum, self.maximum, self.enum)

    @property
    def is_derived(self) -> bool:
        """Whether this outcome is derived from scores, and needs no column of its own."""
        return self.score is not None or self.definition is not None

    @property
    def has_integer_labels(self) -> bool:
        """Whether this is the arm, and its labels are integers instead of texts."""
        return self.role == "arm" and self.type == "integer"

    @property
    def is_coded(self) -> bool:
        """Whether this covariate lists numbers (``enum``): codes of categories, not points on a line."""
        return self.role == "covariate" and self.enum is not None and self.type in ("number", "integer")

    @property
    def _bounds(self) -> tuple[float, float]:
        """Smallest and largest allowed value, with room for binary rounding: 0.1 + 0.2 is at most 0.3."""
        given = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        room = ROUNDING * max(map(abs, given), default=0.0)  # relative, as units may be tiny
        low = -np.inf if self.minimum is None else self.minimum - room
        high = np.inf if self.maximum is None else self.maximum + room
        return low, high

    @property
    def _spelling(self) -> dict[str, str]:
        """Texts of `enum` that are not in their normal form, by that form: values are read as the enum is."""
        texts = (self.enum or ()) if self.type == "string" else ()
        changed = [text for text in texts if isinstance(text, str) and normal_text(text) != text]
        return {normal_text(text): text for text in changed}

    def _allowed_values(self, kind: str) -> list[Any]:
        """Return the values of `enum` in clean form."""
        if kind in CLEAN:
            spelling = self._spelling
            cleaned = [CLEAN[kind](value) for value in self.enum or ()]
            return [spelling.get(value, value) for value in cleaned]
        import pandas as pd

        from treatsel.codebook._convert import CONVERT

        return list(CONVERT[kind](pd.Series(list(self.enum or ()), dtype="object")))

    def reader(self, missing: Sequence[str] = ("",)) -> Callable[[Any], tuple[Any, tuple[str, ...]]]:
        """Return a function that does for one value of a covariate what `parse` does for a column.

        It returns the clean value (a float or a string; NaN if missing) and the codes of its violations of
        the codebook. The value is of a known class (see `as_builtin`).
        """
        clean, texts, coded = self._cleaner(), frozenset(missing), self.is_coded
        spelling = self._spelling
        numeric, whole = self.type in ("number", "integer"), self.type == "integer"
        low, high = self._bounds
        allowed = None if self.enum is None else frozenset(self._allowed_values(self.type))
        # a float needs no cleaning, unless a number such as -99 represents a missing value
        plain = numeric and not any(CLEAN["number"](text) == CLEAN["number"](text) for text in texts)

        def read(value: Any) -> tuple[Any, tuple[str, ...]]:
            if plain and type(value) is float and value == value:
                found = value
            elif is_absent(value, texts):
                return NAN, ("missing_required",) if self.required else ()
            elif (found := clean(value)) != found:
                return NAN, ("wrong_type",)
            codes = []
            if numeric:
                if abs(found) == np.inf:
                    codes.append("infinite")
                elif not low <= found <= high:
                    codes.append("out_of_range")
                if whole and abs(found) != np.inf and found % 1 != 0:
                    codes.append("not_integer")
            if isinstance(found, str):
                found = spelling.get(found, found)
            if allowed is not None and found not in allowed:
                codes.append("unseen_category")
            return as_text(found) if coded else found, tuple(codes)

        return read

    @property
    def _words(self) -> dict[str, float]:
        """The truth that each text stands for, if `true_values` and `false_values` are given."""
        true, false = map(normal_text, self.true_values), map(normal_text, self.false_values)
        return {**dict.fromkeys(true, 1.0), **dict.fromkeys(false, 0.0)}

    def _cleaner(self) -> Callable[[Any], Any]:
        """Return the function that cleans one value."""
        words = self._words
        return (lambda value: truth_of(value, words)) if words else CLEAN[self.type]

    def _converted(self, column: "pd.Series", missing: Sequence[str]) -> tuple["pd.Series", "pd.Series"]:
        """Return the column as values of its type, and where it is missing."""
        from treatsel.codebook._convert import convert

        if words := self._words:
            absent = convert(column, "string", missing)[1]
            return column.map(lambda value: truth_of(value, words)).astype("float64").mask(absent), absent
        if self.role == "outcome":  # true and false are 1 and 0 here; in a measurement they are an error
            column = column.map(lambda value: float(value) if isinstance(value, bool | np.bool_) else value)
        if self.role == "id" and self.type == "string":
            return convert(column, "id", missing)
        return convert(column, self.type, missing)

    def normalized(self, column: "pd.Series", clean: "pd.Series", missing: Sequence[str]) -> "Violation":
        """Return where a text of a column was read in its normal form, given the result of `parse`."""
        import pandas as pd

        from treatsel.codebook._convert import normalized

        if self.role == "id":  # as it is
            return Violation("normalized_text", pd.Series(False, index=column.index))
        return Violation("normalized_text", normalized(column, clean, missing))

    def parse(
        self, column: "pd.Series", missing: Sequence[str] = ("",)
    ) -> tuple["pd.Series", list["Violation"]]:
        """Return the column in clean form, and its violations of the codebook (`fault` describes them).

        Numbers and booleans become float64, dates datetime64, and texts Python strings, as do sites, persons
        and ids of any type, and covariates coded by listed numbers (`is_coded`); arms become Python integers
        if their type is integer, else strings. Values that are missing, or not of the column's type, become
        NaN.
        """
        from treatsel.codebook._convert import builtin_values, convert

        unused = self.role is None and self.type == "string"  # what cannot be read is no fault there
        column = builtin_values(column, unknown=UNREADABLE) if unused else builtin_values(column)
        values, absent = self._converted(column, missing)
        if spelling := self._spelling:
            values = values.replace(spelling)
        clean = values
        if self.role in LABELS and self.type != "string":
            clean = convert(column, "string", missing)[0].where(values.notna())
        if self.has_integer_labels:
            whole = values.notna() & (values % 1 == 0)
            clean = clean.mask(whole, clean[whole].map(integer_of).astype("object"))
        wrong_type = Violation("wrong_type", values.isna() & ~absent)
        found = (wrong_type, *self._violations_of_range(values), *self._violations(clean, absent))
        if self.is_coded:
            clean = clean.map(as_text, na_action="ignore").astype("object")
        return clean, [violation for violation in found if violation.mask.any()]

    def _violations_of_range(self, numbers: "pd.Series") -> Iterator["Violation"]:
        if self.type not in ("number", "integer"):
            return
        infinite = numbers.isin([np.inf, -np.inf])
        low, high = self._bounds
        yield Violation("infinite", infinite)
        yield Violation("out_of_range", ((numbers < low) | (numbers > high)) & ~infinite)
        if self.type == "integer" and self.role != "outcome":
            broken = numbers.notna() & ~infinite & (numbers % 1 != 0)
            yield Violation("not_integer", broken)

    def _violations(self, clean: "pd.Series", absent: "pd.Series") -> Iterator["Violation"]:
        present = clean.notna()
        if self.role == "outcome":
            yield Violation("not_binary", present & ~clean.isin([0, 1]))
        elif self.enum is not None:
            kind = "string" if self.role in LABELS else self.type
            whole = self.has_integer_labels
            allowed = [integer_of(v) for v in self.enum] if whole else self._allowed_values(kind)
            unseen = present & ~clean.isin(allowed)
            yield Violation("unseen_category", unseen)
        if self.required or self.role in ("id", "arm"):
            yield Violation("missing_required", absent)
        if self.unique or self.role == "id":
            yield Violation("duplicate", present & clean.duplicated())

    def fault(self, code: str, count: int, rows: Sequence[Any] = ()) -> Fault:
        """Describe one kind of violation of the codebook by `count` values, in rows with these ids."""
        problem, remedy = problem_of(code, count, self.allowed), remedy_of(code, self.role, self.allowed)
        return Fault(column=self.name, problem=problem, remedy=remedy, n_rows=count, rows=tuple(rows))
