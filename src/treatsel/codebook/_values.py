"""Conversion of single raw values; nothing is guessed, and values that do not fit become NaN.

`_convert` applies it to whole columns.
"""

import math
import numbers
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from decimal import Decimal
from operator import lt
from typing import Any

import numpy as np

from treatsel._checks import as_text, count_of
from treatsel.errors import Fault

LARGEST = 1e100  # products of larger numbers with coefficients, and their sums, may overflow float64
NAN = math.nan
_WORDS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)\s*", re.ASCII | re.IGNORECASE)
_MAX_LENGTH = 400  # longest text that may be a number: bounds the run time of the regular expression


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
    return isinstance(value, str | numbers.Real | np.bool_) and as_text(value) in missing


def number_of(value: Any) -> float:
    """Return a number, or a text that represents one, as a float; NaN for all else, True and False too."""
    if isinstance(value, str):
        fits = len(value) <= _MAX_LENGTH and _NUMBER.fullmatch(value)
        return float(value) if fits else NAN
    if isinstance(value, bool):
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
    """Return a text, a number, a date, or a collection of them as text; NaN if it cannot be converted."""
    if isinstance(value, timedelta | np.timedelta64):  # its unit is not stated
        return NAN
    if isinstance(value, str | numbers.Real | np.generic | Decimal | date):
        return as_text(value)
    try:
        return str(value)
    except Exception:  # nested too deeply, or an object without a working __str__
        return NAN


def truth_of(value: Any, words: Mapping[str, float]) -> float:
    """Return the truth that a value stands for; a number 1 or 0 stands for itself, as in a clean table."""
    found = words.get(str(text_of(value)).strip())
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
