"""How one raw value becomes a clean one: nothing is guessed, and what does not fit becomes NaN.

The definition for single values; `_convert` applies it to whole columns.
"""

import math
import numbers
import re
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal
from operator import lt
from typing import Any

import numpy as np

LARGEST = 1e100  # sums of products of larger numbers overflow
NAN = math.nan
_WORDS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)\s*", re.ASCII | re.IGNORECASE)
_MAX_LENGTH = 400  # characters of a text that may be a number: beyond, none is written so


def as_text(value: Any) -> str:
    """Return a label as text: 3.0, which a missing neighbour makes of 3, is 3 again."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python will write
        return hex(value)


def as_plain(value: Any) -> Any:
    """Return a value as YAML and JSON can hold it: NumPy scalars as Python's, dates as text."""
    value = value.item() if isinstance(value, np.generic) else value
    value = str(value) if isinstance(value, str) else value
    return value.isoformat() if isinstance(value, date) else value


def is_finite_number(value: Any) -> bool:
    """Return whether a value is a number that a float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_absent(value: Any, missing: Collection[str]) -> bool:
    """Return whether there is no value: None, NaN, NaT, NA, or what stands for a missing one."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and value != value:
        return True
    if isinstance(value, Decimal) and value.is_nan():
        return True
    return isinstance(value, str | numbers.Real | np.bool_) and as_text(value) in missing


def number_of(value: Any) -> float:
    """Return a number, or a text that writes one, as a float; NaN for all else."""
    if isinstance(value, str):
        fits = len(value) <= _MAX_LENGTH and _NUMBER.fullmatch(value)
        return float(value) if fits else NAN
    if isinstance(value, np.bool_ | numbers.Real | Decimal):
        try:
            return float(value)
        except OverflowError:
            return -math.inf if lt(value, 0) else math.inf
        except ValueError:  # a signalling NaN
            return NAN
    return NAN


def boolean_of(value: Any) -> float:
    """Return true, false, 1 and 0, as words or numbers, as 1.0 and 0.0; NaN for all else."""
    if not isinstance(value, str | numbers.Real | np.bool_ | Decimal):
        return NAN
    return _WORDS.get(as_text(value).strip().lower(), NAN)


def text_of(value: Any) -> str | float:
    """Return a text, a number or a date, or a collection of them, as text; NaN for what cannot be written."""
    if isinstance(value, str | numbers.Real | np.generic | Decimal | date):
        return as_text(value)
    try:
        return str(value)
    except Exception:  # nested too deep, or an object of the caller's that does not write itself
        return NAN


CLEAN: dict[str, Callable[[Any], Any]] = {
    "string": text_of,
    "number": number_of,
    "integer": number_of,
    "boolean": boolean_of,
}
