"""Conversion of single raw values; nothing is guessed, and values that do not fit become NaN.

`_convert` applies it to whole columns.
"""

import math
import numbers
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from operator import lt
from typing import Any
from uuid import UUID

import numpy as np

from treatsel._checks import as_text, count_of, normal_text
from treatsel.errors import Fault, InputError

LARGEST = 1e100  # products of larger numbers with coefficients, and their sums, may overflow float64
NAN = math.nan
_WORDS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)\s*", re.ASCII | re.IGNORECASE)
MOST_KEYS = 100_000  # of a record; a mapping may have no end
_MAX_LENGTH = 400  # longest text that may be a number: bounds the run time of the regular expression


_MODULE, _NAME = type.__dict__["__module__"], type.__dict__["__name__"]
_BUILTIN: tuple[Any, ...] = ((str, str.__str__), (int, int.__int__), (float, float.__float__))
_TRUSTED = (Decimal, Fraction, date, datetime, time, timedelta, UUID)  # exactly: a subclass may do anything
_OF_PANDAS = ("NAType", "NaTType", "Timestamp", "Timedelta", "Period", "Interval")
_OF_NUMPY = (np.datetime64, np.timedelta64)


class _Opaque:
    """A value of a class that is unknown, or that can be no value of a column: wrong_type in any column."""


OPAQUE = _Opaque()
UNREADABLE = "(not readable)"  # what stands for it in a text column that is not used


def as_builtin(value: Any) -> Any:
    """Return a value of any class as one of a known class; `OPAQUE` if that cannot be done.

    No code of an unknown class is run: its methods may raise anything, or never return.
    """
    kind = type(value)
    if value is None or kind is float or kind is str or kind is int or kind is bool:
        return value
    for base, convert in _BUILTIN:
        if issubclass(kind, base):
            return convert(value)
    if kind is complex or kind is np.complex128:
        return NAN if value != value else OPAQUE
    module = _MODULE.__get__(kind)
    if module == "numpy":
        if kind in _OF_NUMPY:
            return value
        return value.item() if kind is np.bool_ else _number_of_numpy(value, kind)
    if any(kind is trusted for trusted in _TRUSTED):
        return NAN if kind is Decimal and value.is_nan() else value  # a signaling NaN raises when compared
    from_pandas = (
        isinstance(module, str) and module.split(".")[0] == "pandas" and _NAME.__get__(kind) in _OF_PANDAS
    )
    return value if from_pandas else OPAQUE


def _number_of_numpy(value: Any, kind: type) -> Any:
    if issubclass(kind, np.integer):
        return int(value)
    return float(value) if issubclass(kind, np.floating) else OPAQUE


def plain_record(record: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a record as a dict of text to values of known classes.

    Raises
    ------
    InputError
        If a key is not a text, there are too many, or the mapping raises an error of its own.
    """
    most = MOST_KEYS + 1
    if isinstance(record, dict):  # also of a subclass, whose own methods are not used
        items = list(islice(dict.items(record), most))
    else:
        try:
            items = [(key, record[key]) for key in islice(iter(record), most)]
        except (Exception, SystemExit) as error:
            raise InputError(
                f"The record raised an error of its own ({type(error).__name__}). Give a dict."
            ) from error
    if len(items) > MOST_KEYS:
        raise InputError(f"The record has more than {MOST_KEYS:,} keys. Give the covariates of one patient.")
    keys = [as_builtin(key) for key, _ in items]
    if n := sum(type(key) is not str for key in keys):
        raise InputError(
            f"The record has {count_of(n, 'key')} of a type other than text. Covariates are found by name."
        )
    return dict(zip(keys, (as_builtin(value) for _, value in items), strict=True))


def as_plain(value: Any) -> Any:
    """Return a value in a form that YAML and JSON support: NumPy scalars as Python's, dates as text."""
    value = value.item() if isinstance(value, np.generic) else value
    value = str(value) if isinstance(value, str) else value
    return value.isoformat() if isinstance(value, date) else value


def is_finite_number(value: Any) -> bool:
    """Return whether a value is a number that a float can represent."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_absent(value: Any, missing: Collection[str]) -> bool:
    """Return whether a value is missing: None, NaN, NaT, NA, or one of the strings in `missing`."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and value != value:
        return True
    if isinstance(value, Decimal) and value.is_nan():
        return True
    if isinstance(value, str):
        return value in missing or normal_text(value) in missing
    return isinstance(value, numbers.Real | np.bool_) and as_text(value) in missing


def number_of(value: Any) -> float:
    """Return a number, or a text that represents one, as a float; NaN for all else, True and False too."""
    if isinstance(value, str):
        fits = len(value) <= _MAX_LENGTH and _NUMBER.fullmatch(value)
        return float(value) if fits else NAN
    if isinstance(value, bool | np.timedelta64):  # NumPy counts a time difference among the integers
        return NAN
    if isinstance(value, numbers.Real | Decimal):
        try:
            return float(value)
        except OverflowError:
            return -math.inf if lt(value, 0) else math.inf
        except ValueError:  # a signaling NaN
            return NAN
    return NAN


def integer_of(value: Any) -> int:
    """Return a whole number, or a text that represents one, as an integer with all its digits."""
    text = as_text(value).strip()
    return int(text) if text.lstrip("+-").isdecimal() else int(float(text))


def boolean_of(value: Any) -> float:
    """Return true, false, 1 and 0, as words or numbers, as 1.0 and 0.0; NaN for everything else."""
    if not isinstance(value, str | numbers.Real | np.bool_ | Decimal):
        return NAN
    return _WORDS.get(as_text(value).strip().lower(), NAN)


def text_of(value: Any) -> str | float:
    """Return a text (in its normal form), a number or a date as text; NaN if it cannot be converted."""
    if value is OPAQUE or isinstance(value, timedelta | np.timedelta64):  # the latter's unit is not stated
        return NAN
    if isinstance(value, str):
        return normal_text(value)
    if isinstance(value, numbers.Real | np.generic | Decimal | date):
        return as_text(value)
    try:
        return str(value)
    except Exception:  # nested too deeply, or an object without a working __str__
        return NAN


def truth_of(value: Any, words: Mapping[str, float]) -> float:
    """Return the truth that a value stands for; a number 1 or 0 stands for itself, as in a clean table."""
    found = words.get(str(text_of(value)))
    if found is None and not isinstance(value, str | bool) and value in (0, 1):
        return float(value)
    return NAN if found is None else found


def too_large(column: str, count: int, rows: Collection[Any] = ()) -> Fault:
    """Describe `count` values that are too large for computation, in rows with these ids."""
    verb = "is" if count == 1 else "are"
    return Fault(
        column=column,
        problem=f"holds {count_of(count, 'value')} that {verb} too large",
        remedy=f"Numbers beyond {LARGEST:g} are too large for computation; correct them.",
        n_rows=count,
        rows=tuple(rows),
    )


CLEAN: dict[str, Callable[[Any], Any]] = {
    "string": text_of,
    "number": number_of,
    "integer": number_of,
    "boolean": boolean_of,
}
