"""Checks for constant, collinear and arm-determining columns.

No check compares pairs of patients: time grows with rows x columns.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from treatsel._checks import FloatArray, count_of
from treatsel.additive import is_constant, moments_of
from treatsel.fitted import DataCheck
from treatsel.selector.data_checks._column import Column, IntArray, sample_of, varying

MAX_CORRELATION = 0.99  # beyond it, the coefficients of two columns cannot be separated in practice
MIN_FIXED = 30  # minimum size for a separation warning: patients with a value, or at an end of the range
_CHANCE = 1e-6  # reported if the probability that so many patients have the same arm by chance is smaller


def check_constant(columns: Sequence[Column]) -> list[DataCheck]:
    """Report columns with a single value, or with values that differ by no more than rounding."""
    names = [column.name for column in columns if column.n_values == 1 or _is_flat(column)]
    if not names:
        return []
    verb = "holds" if len(names) == 1 else "hold"
    message = (
        f"{count_of(len(names), 'column')} {verb} a single value and cannot distinguish patients: {names}. "
        "Drop constant columns."
    )
    return [DataCheck("constant_column", message)]


def _is_flat(column: Column) -> bool:
    """Whether a number has no spread beyond rounding: models use such a column as a constant."""
    known = column.values[~np.isnan(column.values)]
    return column.is_number and len(known) > 0 and is_constant(*moments_of(known, np.ones(len(known))))


# --- columns that determine the arm


def check_positivity(columns: Sequence[Column], received: pd.Series) -> list[DataCheck]:
    """Report columns with a value, or a lower or upper end of the range, that occurs in one arm only.

    A value, or an end of a range, is considered only if at least 30 patients have it, and if the probability
    that so many patients have the same arm by chance is below one in a million.
    """
    arm, labels = pd.factorize(received)
    if len(labels) < 2:
        return []
    share = np.bincount(arm) / len(arm)
    order, found = np.argsort(arm, kind="stable"), []
    for column in columns:
        missing = np.isnan(column.values)
        if column.codes is not None:
            fixed = _fixed_by_value(column.codes, arm, share)
        else:
            fixed = _fixed_by_end(column.values[order], np.bincount(arm), share)
            fixed += _fixed_by_value(missing.astype(np.int64), arm, share) if missing.any() else 0
        if fixed.any():
            found.append(_positivity(column.name, fixed, list(labels), len(arm)))
    return found


def _positivity(name: str, fixed: IntArray, labels: list[Any], n: int) -> DataCheck:
    determined = np.flatnonzero(fixed)
    arms = ", ".join(f"{labels[k]!r}: {int(fixed[k])}" for k in determined)
    message, disclosed = (
        f"Column {name!r} alone determines the arm of {whose}: some of its values, or one end of its range, "
        "occur in one arm only. For these patients, arms can only be compared by extrapolation. If the "
        "column was recorded after the arm was chosen, drop it; if it determines eligibility for an arm, "
        "state it as an eligibility rule."
        for whose in (
            f"{int(fixed.sum())} of {n} patients ({arms})",
            f"some patients ({', '.join(repr(labels[k]) for k in determined)})",
        )
    )
    return DataCheck("positivity_violation", message, disclosed)


def _fixed_by_value(codes: IntArray, arm: IntArray, share: FloatArray) -> IntArray:
    """Return, by arm, the number of patients with a value that occurs in this arm only."""
    n_arms = len(share)
    table = np.bincount(codes * n_arms + arm, minlength=(codes.max() + 1) * n_arms).reshape(-1, n_arms)
    n = table.sum(axis=1)
    alone = (table.max(axis=1) == n) & (n >= MIN_FIXED)
    alone &= share[table.argmax(axis=1)] ** n < _CHANCE / len(n)  # Bonferroni over the column's values
    return np.asarray(table[alone].sum(axis=0))


def _fixed_by_end(values: FloatArray, n_by_arm: IntArray, share: FloatArray) -> IntArray:
    """Return, by arm, the number of patients beyond the range of all other arms; `values` sorted by arm."""
    starts = np.append(0, n_by_arm.cumsum())
    fixed = np.zeros(len(share), dtype=np.int64)
    for sign in (1.0, -1.0):
        tops = np.nan_to_num(np.fmax.reduceat(sign * values, starts[:-1]), nan=-np.inf)
        k = int(tops.argmax())
        n = int((sign * values[starts[k] : starts[k + 1]] > np.delete(tops, k).max()).sum())
        if n >= MIN_FIXED and share[k] ** n < _CHANCE:
            fixed[k] = min(fixed[k] + n, n_by_arm[k])
    return fixed


# --- collinear columns


def check_collinear(columns: Sequence[Column]) -> list[DataCheck]:
    """Report collinear columns: numbers with an absolute correlation above 0.99, or recodings of one another.

    Correlations are computed in patients with both values, in a fixed sample if there are more than 50,000.
    """
    columns = varying(columns)
    same = np.eye(len(columns), dtype=bool)
    numbers = [j for j, column in enumerate(columns) if column.is_number]
    same[np.ix_(numbers, numbers)] |= (
        np.abs(_correlations([columns[j].values for j in numbers])) > MAX_CORRELATION
    )
    for i, j in _recoded(columns):
        same[i, j] = True
    sets = connected_components(same, directed=False)[1] if len(columns) else np.empty(0, dtype=int)
    found = []
    for label in np.flatnonzero(np.bincount(sets) > 1):
        names = [columns[j].name for j in np.flatnonzero(sets == label)]
        message = (
            f"{len(names)} columns are collinear (correlated above {MAX_CORRELATION}, or recodings of one "
            f"another): {names}. Their effects cannot be separated, and attributions between them are "
            "arbitrary. Keep one of them."
        )
        found.append(DataCheck("collinear_columns", message))
    return found


def _correlations(columns: list[FloatArray]) -> FloatArray:
    """Return correlations in patients with both values; 0 if there are fewer than 30 such patients."""
    if not columns:
        return np.zeros((0, 0))
    rows = sample_of(len(columns[0]))
    values = np.column_stack([column[rows] for column in columns])
    known = (~np.isnan(values)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        values = np.where(known == 1, values, 0.0)
        n = known.T @ known
        values = np.where(known == 1, values - values.sum(axis=0) / np.diag(n), 0.0)
        values /= np.sqrt((values**2).sum(axis=0) / np.diag(n))
        values = np.nan_to_num(values)
        mean, square = values.T @ known / n, (values**2).T @ known / n
        spread = square - mean**2
        correlation = (values.T @ values / n - mean * mean.T) / np.sqrt(spread * spread.T)
        # columns are standardized: a variance below 1e-6 in the patients in common is only rounding error
        flat = np.minimum(spread, spread.T) < 1e-6
    return np.where((n < MIN_FIXED) | flat, 0.0, np.nan_to_num(correlation))


def _recoded(columns: Sequence[Column]) -> Iterator[tuple[int, int]]:
    """Yield pairs of columns whose values are in one-to-one correspondence."""
    first: dict[bytes, int] = {}
    for j, column in enumerate(columns):
        # at least five patients per value on average: with fewer, unrelated columns of distinct values would
        # look like recodings
        if column.codes is not None and 5 * column.n_values <= len(column.codes):
            i = first.setdefault(sha256(column.codes.tobytes()).digest(), j)
            if i != j:
                yield i, j
