"""Conversion of raw columns to clean ones; nothing is guessed, and values that do not fit become NaN.

Text is converted once per distinct value.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import as_text, normal_text
from treatsel.codebook._values import OPAQUE, as_builtin, boolean_of, is_absent, number_of, text_of

# Kinds of object columns in which equal values are identical (in a mixed column, 1, 1.0 and True are equal).
_UNIFORM = ("string", "integer", "floating", "boolean", "datetime", "datetime64", "date")


_BUILTIN = {id(kind) for kind in (float, str, int, bool, type(None))}


def builtin_values(column: pd.Series, *, unknown: Any = OPAQUE) -> pd.Series:
    """Return a column of objects with values of known classes only (see `as_builtin`); any other as it is.

    Values of an unknown class become `unknown`.
    """
    if column.dtype != object or set(map(id, map(type, column.array))) <= _BUILTIN:
        return column
    values = [as_builtin(value) for value in column.array]
    values = [unknown if value is OPAQUE else value for value in values]
    return pd.Series(values, index=column.index, name=column.name, dtype="object")


def normalized(column: pd.Series, clean: pd.Series, missing: Collection[str]) -> pd.Series:
    """Return where a text was read as another one, or as missing, because of its normal form."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(False, index=column.index)
    cells = zip(column.astype("object"), clean.astype("object"), strict=True)
    found = [type(raw) is str and _is_other(raw, read, missing) for raw, read in cells]
    return pd.Series(found, index=column.index, dtype=bool)


def _is_other(raw: str, read: Any, missing: Collection[str]) -> bool:
    if isinstance(read, str):
        return raw != read
    return bool(read != read) and raw not in missing and normal_text(raw) in missing


def convert(column: pd.Series, kind: str, missing: Collection[str]) -> tuple[pd.Series, pd.Series]:
    """Return the column in clean form, and a mask of missing values.

    Numbers and booleans become float64, text Python strings, dates datetime64 (UTC, without a zone). NaN
    where a value is missing or not of type `kind`.
    """
    if _holds_real_numbers(column) and (
        kind == "boolean" or (kind in ("number", "integer") and not pd.api.types.is_bool_dtype(column.dtype))
    ):
        numeric = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
        numeric = numeric.mask(numeric.isin(to_number(pd.Series(list(missing), dtype="object")).dropna()))
        return (numeric.where(numeric.isin([0, 1])) if kind == "boolean" else numeric), numeric.isna()
    codes, values = _distinct(column)
    absent = _absent(values, missing)
    clean = CONVERT[kind](values[~absent])
    clean, absent = clean.reindex(codes), absent.reindex(codes, fill_value=True)
    return clean.set_axis(column.index), absent.set_axis(column.index)


def distinct_values(column: pd.Series, missing: Collection[str]) -> pd.Series:
    """Return the distinct values of a column that are not missing."""
    _, values = _distinct(column)
    return values[~_absent(values, missing)]


def to_number(values: pd.Series) -> pd.Series:
    """Return numbers, and text that represents numbers, as float64; NaN for everything else."""
    if values.dtype == np.float64:
        return values
    return values.map(number_of).astype("float64")


def to_boolean(values: pd.Series) -> pd.Series:
    """Return true, false, 1 and 0 of any type as 1.0 and 0.0; NaN for everything else."""
    return values.map(boolean_of).astype("float64")


def _to_text(values: pd.Series) -> pd.Series:
    return _objects(values, map(text_of, values.array))


def _to_label(values: pd.Series) -> pd.Series:
    """Return ids as text, unchanged: two of them may differ in a blank."""
    return _objects(values, (np.nan if value is OPAQUE else as_text(value) for value in values.array))


def _objects(values: pd.Series, converted: Iterable[Any]) -> pd.Series:
    """Return what values became, as objects: texts of pandas cannot hold lone surrogates, as JSON may."""
    return pd.Series(list(converted), index=values.index, name=values.name, dtype="object")


def _to_date(values: pd.Series) -> pd.Series:
    dates = values.where(values.map(lambda value: isinstance(value, str | date | np.datetime64)).astype(bool))
    return pd.to_datetime(dates, errors="coerce", format="ISO8601", utc=True).dt.tz_localize(None)


CONVERT: dict[str, Callable[[pd.Series], pd.Series]] = {
    "string": _to_text,
    "id": _to_label,
    "number": to_number,
    "integer": to_number,
    "boolean": to_boolean,
    "date": _to_date,
    "datetime": _to_date,
}


def _holds_real_numbers(column: pd.Series) -> bool:
    kind = pd.api.types
    return bool(kind.is_numeric_dtype(column.dtype)) and not kind.is_complex_dtype(column.dtype)


def _distinct(column: pd.Series) -> tuple[npt.NDArray[np.intp], pd.Series]:
    """Return the position of each row's value (-1: missing) among the distinct values, and those values."""
    column = column.astype("object")
    if pd.api.types.infer_dtype(column, skipna=True) not in _UNIFORM:
        return np.arange(len(column)), column.reset_index(drop=True)
    codes, values = pd.factorize(column.to_numpy())
    return codes, pd.Series(values, dtype="object")


def _absent(values: pd.Series, missing: Collection[str]) -> pd.Series:
    texts = frozenset(missing)
    return values.isna() | values.map(lambda value: is_absent(value, texts)).astype(bool)
