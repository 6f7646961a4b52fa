"""Columns as conditions read them: which literals fit, and the clean value of a record or of a table."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import did_you_mean, shortened
from treatsel._lazy import lazy
from treatsel._reporting.text import visible
from treatsel.codebook import Codebook, Field, as_builtin, number_of
from treatsel.eligibility._grammar import (
    And,
    Comparison,
    Condition,
    Literal,
    Membership,
    Missing,
    Not,
    Or,
)

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 2**53  # integers up to this one are floats as well
UNREADABLE = object()  # stands for a value that is not of the type of its column
# Roles of columns that are not known before the choice of an arm, or that name a person.
NOT_BEFORE = ("arm", "outcome", "session_score", "process", "date", "undecided", "therapist")
NAMES = ("id", "person")
_KINDS = {"number": "number", "integer": "number", "boolean": "boolean", "string": "text"}
_WRITTEN = {
    "number": "a number, without quotes",
    "boolean": "TRUE, FALSE, 1 or 0",
    "text": "a text in single quotes",
}


@dataclass(frozen=True, eq=False)
class Vector:
    """A column of a table: numbers (NaN: unknown), where it is unknown, and the number of each text."""

    values: np.ndarray
    unknown: np.ndarray
    unreadable: np.ndarray
    code_of: dict[str, float] | None = None

    def number(self, value: Literal) -> float:
        """Return the number that stands for a literal in `values`; -1 for a text that does not occur."""
        return float(value) if self.code_of is None else self.code_of.get(value, -1.0)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the codebook that conditions may read."""

    field: Field
    missing_values: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.field.name

    @property
    def kind(self) -> str:
        """Kind of the literals: "number", "boolean" or "text"."""
        return _KINDS[self.field.type]

    @property
    def is_ordered(self) -> bool:
        """Whether one value can be above another: not for texts, labels, codes and truth values."""
        return self.kind == "number" and not self.field.is_coded and self.field.role != "site"

    @property
    def holds_text(self) -> bool:
        """Whether clean values are texts."""
        return self.kind == "text" or self.field.is_coded

    @lazy
    def _is_plain(self) -> bool:
        """Whether a number represents itself: it is no code, and no number represents a missing value."""
        numeric_missing = any(number_of(text) == number_of(text) for text in self.missing_values)
        return self.kind == "number" and not self.field.is_coded and not numeric_missing

    @lazy
    def _reader(self) -> Callable[[Any], tuple[Any, tuple[str, ...]]]:
        return self.field.reader(self.missing_values)

    def clean_literal(self, value: Literal, *, equality: bool) -> tuple[Literal, str]:
        """Return a literal in the form of clean values, and what is wrong with it ("": nothing)."""
        if value is None:
            return None, ""
        if not equality and not self.is_ordered:
            return None, "is compared by order, but its values have none. Use =, <>, IN or IS NULL."
        fits = {
            "number": type(value) is float,
            "boolean": type(value) is bool or value in (0.0, 1.0),
            "text": type(value) is str,
        }
        shown = f"'{shortened(visible(value))}'" if isinstance(value, str) else f"{value:g}"
        if not fits[self.kind]:
            return None, f"is compared with {shown}, but must be compared with {_WRITTEN[self.kind]}."
        if not equality:
            return value, ""
        if self.kind == "boolean":
            return float(value), ""
        clean, codes = self._reader(value)
        if clean != clean:
            return None, f"is compared with {shown}, which stands for a missing value. Use IS NULL."
        if codes:
            hint = did_you_mean(value, self.field.enum) if self.kind == "text" and self.field.enum else ""
            return None, f"is compared with {shown}; the codebook allows {self.field.allowed}.{hint}"
        return clean, ""

    def reader(self, known: Collection[str]) -> Callable[[Any], Any]:
        """Return a function from a value of a record to its clean value: None if unknown, or `UNREADABLE`.

        `known` are texts in clean form, which are looked up instead of being cleaned again.
        """
        read = self._reader

        def read_any(value: Any) -> Any:
            found, codes = read(as_builtin(value))
            if "wrong_type" in codes:
                return UNREADABLE
            return found if found == found else None

        def read_number(value: Any) -> Any:
            if type(value) is float:
                return value if value == value else None
            if type(value) is int and -_EXACT <= value <= _EXACT:
                return value
            return None if value is None else read_any(value)

        if self._is_plain:
            return read_number
        kinds = (str,) if self.kind == "text" else (float, int, bool)
        candidates = known if self.kind == "text" else (0.0, 1.0)
        usual = frozenset(value for value in candidates if read(value)[0] == value)
        if self.kind != "text" and any(read(value)[0] != value for value in (0, 1, False, True)):
            usual = frozenset()  # other texts or numbers stand for true and false

        def read_label(value: Any) -> Any:
            if type(value) in kinds and value in usual:
                return value
            return None if value is None or (type(value) is float and value != value) else read_any(value)

        return read_label

    def vector(self, column: "pd.Series") -> Vector:
        """Return a column of a table in clean form; equal values are cleaned once."""
        import pandas as pd

        kind = getattr(column.dtype, "kind", "O")
        if self._is_plain and kind in "iuf":
            values = column.to_numpy(dtype="float64", na_value=np.nan)
            return Vector(values, np.isnan(values), np.zeros(len(values), dtype=bool))
        read = self.reader(())
        by_value = (
            kind in "iufb"
            or isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype)
            or pd.api.types.infer_dtype(column, skipna=True) == "string"
        )
        if by_value:
            codes, levels = pd.factorize(column)
            cleaned = [*map(read, levels), None]  # missing values have the code -1
        else:  # 1, 1.0 and True are equal, but not the same in a column of numbers or of texts
            codes, cleaned = np.arange(len(column)), [read(value) for value in column]
        unreadable = np.array([value is UNREADABLE for value in cleaned], dtype=bool)
        numbers, code_of = self._numbers(cleaned)
        values = numbers[codes]
        return Vector(values, np.isnan(values), unreadable[codes], code_of)

    def _numbers(self, cleaned: list[Any]) -> tuple[np.ndarray, dict[str, float] | None]:
        unknown = (None, UNREADABLE)
        if not self.holds_text:
            floats = [np.nan if any(value is each for each in unknown) else float(value) for value in cleaned]
            return np.array(floats, dtype="float64"), None
        texts = dict.fromkeys(value for value in cleaned if isinstance(value, str))
        code_of = {text: float(i) for i, text in enumerate(texts)}
        return np.array([code_of.get(value, np.nan) for value in cleaned], dtype="float64"), code_of


def column_of(codebook: Codebook, name: str) -> tuple[Column | None, str]:
    """Return a column that conditions may read; or None and what is wrong with it."""
    shown = f"{shortened(visible(name))!r}"
    if name not in codebook:
        return None, f"{shown} is not a column of the codebook.{did_you_mean(name, codebook.names())}"
    field = codebook[name]
    if field.role in NOT_BEFORE:
        return None, f"{shown} has role {field.role}. Use columns that are known before the choice of an arm."
    if field.role in NAMES:
        return None, f"{shown} has role {field.role}. A rule is about values, not about single persons."
    if field.type not in _KINDS:
        return None, f"{shown} is a {field.type}. Derive a number from it, such as days before treatment."
    return Column(field, codebook.missing_values), ""


def fitted(condition: Condition, columns: dict[str, Column], problems: list[str]) -> Condition:
    """Return a condition with literals in clean form; append what does not fit to `problems`."""
    match condition:
        case Not(part):
            return Not(fitted(part, columns, problems))
        case And(parts):
            return And(tuple(fitted(part, columns, problems) for part in parts))
        case Or(parts):
            return Or(tuple(fitted(part, columns, problems) for part in parts))
        case Missing():
            return condition
    if (column := columns.get(condition.column)) is None:
        return condition

    def clean(value: Literal, *, equality: bool) -> Literal:
        found, problem = column.clean_literal(value, equality=equality)
        if problem and (text := f"{shortened(visible(column.name))!r} {problem}") not in problems:
            problems.append(text)
        return found

    if isinstance(condition, Membership):
        values = tuple(clean(value, equality=True) for value in condition.values)
        return Membership(condition.column, values)
    equality = condition.operator in ("=", "<>")
    value = clean(condition.value, equality=equality)
    return Comparison(condition.column, condition.operator, value)
