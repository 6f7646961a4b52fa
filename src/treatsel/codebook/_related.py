"""Whether columns repeat, compare or report on one another: measurements and codings made after treatment."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import pandas as pd

from treatsel.codebook._column_names import is_baseline, words_of

MIN_VALUES = 20  # distinct values of a measurement; questionnaire items, also numbered, have fewer
MIN_CORRELATION = 0.5  # of repeated measurements; symptom scores and counts of one person exceed it
MIN_ROWS = 10  # rows in which both columns are known
MIN_CLASS = 5  # rows with, and without, a value from which on a 0/1 column is compared with its absence
MAX_COMPARED = 200  # pairs of measurements whose comparison (later one higher or not) is looked for
MAX_FIRST = 10  # columns of one stem that a later one is compared with: tables of genes have thousands


def related_columns(clean: Mapping[str, pd.Series], covariates: list[str]) -> dict[str, str]:
    """Return for each covariate that may not be one the reason, from the columns it is related to.

    Parameters
    ----------
    clean : mapping of str to Series of shape (n_patients,)
        Columns of the table by name, with values of their types.
    covariates : list of str
        Columns that would be covariates.

    Notes
    -----
    Three relations are recognized, whatever the order of columns: names that differ in digits only and
    values that correlate (a measurement and its repetitions: all but the one with the lowest number); a 0/1
    column that states where another is missing; and one that states which of two measurements is higher.
    """
    measured = {name for name, column in clean.items() if _is_measurement(column)}
    repeated = {
        name: f"May repeat {first!r} at another time: names differ in digits only, and values correlate."
        for first, name in _repetitions(clean, [name for name in covariates if name in measured])
    }
    binary = [name for name in covariates if _is_binary(clean[name])]
    reports = {_mask(column.isna()): name for name, column in clean.items() if _is_partly_missing(column)}
    later = [name for name in measured if name in repeated or name not in covariates]
    pairs = list(islice(((x, y) for x in sorted(later) for y in sorted(measured) if x != y), MAX_COMPARED))
    found = dict(repeated)
    for name in binary:
        complete = clean[name].notna().all()
        ones = clean[name] == 1
        other = (reports.get(_mask(ones)) or reports.get(_mask(~ones))) if complete else None
        if other is not None:
            found[name] = f"States in which rows {other!r} is missing."
        elif (pair := _compared(clean, name, pairs)) is not None:
            found[name] = f"States which of {pair[0]!r} and {pair[1]!r} is higher."
    return found


def _mask(values: pd.Series) -> bytes:
    return np.packbits(values.to_numpy(dtype=bool)).tobytes()


def _is_binary(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and bool(column.dropna().isin([0, 1]).all())


def _is_partly_missing(column: pd.Series) -> bool:
    absent = int(column.isna().sum())
    return min(absent, len(column) - absent) >= MIN_CLASS


def _is_measurement(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and column.nunique() > MIN_VALUES


def _repetitions(clean: Mapping[str, pd.Series], covariates: list[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of the measurements whose names differ in digits only and whose values correlate."""
    groups: dict[str, list[str]] = {}
    for name in covariates:
        stem = re.sub(r"[\d_]+", "", words_of(name))
        if len(stem) > 1 and not is_baseline(name):
            groups.setdefault(stem, []).append(name)
    for names in groups.values():
        numbered = sorted(names, key=_numbers_in)
        for i, name in enumerate(numbered):
            earlier = numbered[: min(i, MAX_FIRST)]
            first = next((other for other in earlier if _correlated(clean[other], clean[name])), None)
            if first is not None:
                yield first, name


def _numbers_in(name: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", name))


def _correlated(a: pd.Series, b: pd.Series) -> bool:
    both = (a.notna() & b.notna()).to_numpy()
    if both.sum() < MIN_ROWS:
        return False
    x, y = a.to_numpy(dtype=float)[both], b.to_numpy(dtype=float)[both]
    if not x.std() or not y.std():
        return False
    return bool(np.corrcoef(x, y)[0, 1] > MIN_CORRELATION)


def _compared(
    clean: Mapping[str, pd.Series], name: str, pairs: list[tuple[str, str]]
) -> tuple[str, str] | None:
    """Return the two measurements whose comparison the 0/1 column states."""
    states = clean[name].to_numpy(dtype=float)
    for x, y in pairs:
        a, b = clean[x].to_numpy(dtype=float), clean[y].to_numpy(dtype=float)
        known = ~(np.isnan(a) | np.isnan(b) | np.isnan(states))
        stated = states[known] == 1
        if min(stated.sum(), (~stated).sum()) < MIN_CLASS:
            continue
        a, b = a[known], b[known]
        if any((stated == higher).all() for higher in (a > b, a >= b, a < b, a <= b)):
            return x, y
    return None
