"""Guards of columns and rows: constant, fixing the arm, saying the same; patients who are all alike.

Nothing here compares patients in pairs: time grows with rows x columns.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from treatsel._checks import FloatArray
from treatsel.fitted import DataCheck
from treatsel.selector.data_checks._column import Column, IntArray, _drawn, _varying

SAME_COLUMN = 0.99  # correlation
FEWEST_FIXED = 30  # patients of a value or range, before its all having one arm is worth a word
_CHANCE = 1e-6  # of a value's or range's patients all having one arm


def guard_constant(columns: Sequence[Column]) -> list[DataCheck]:
    """Tell of columns that hold one value only."""
    names = [column.name for column in columns if column.n_values == 1]
    if not names:
        return []
    message = f"{len(names)} columns hold one value only and cannot tell patients apart: {names}. Drop them."
    return [DataCheck("constant_column", message)]


# --- columns that fix the arm


def guard_separation(columns: Sequence[Column], received: pd.Series) -> list[DataCheck]:
    """Tell of columns one of whose values, or whose lower or upper end, occurs in one arm only.

    A value, or an end of a number's range, counts with 30 patients or more, and if so many would have the
    same arm by chance with a probability below one in a million.
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
            found.append(_fixes(column.name, fixed, list(labels), len(arm)))
    return found


def _fixes(name: str, fixed: IntArray, labels: list[Any], n: int) -> DataCheck:
    arms = ", ".join(f"{labels[k]!r}: {int(fixed[k])}" for k in np.flatnonzero(fixed))
    return DataCheck(
        "positivity_violation",
        f"Column {name!r} alone fixes the arm of {int(fixed.sum())} of {n} patients ({arms}): some of its "
        "values, or one end of its range, occur in one arm only. There the arms cannot be compared, only "
        "extrapolated. If it was recorded after the arm was chosen, drop it; if it decides who may get "
        "an arm, state it as an eligibility rule.",
    )


def _fixed_by_value(codes: IntArray, arm: IntArray, share: FloatArray) -> IntArray:
    """Return, per arm, how many patients have a value that occurs in this arm only."""
    n_arms = len(share)
    table = np.bincount(codes * n_arms + arm, minlength=(codes.max() + 1) * n_arms).reshape(-1, n_arms)
    n = table.sum(axis=1)
    alone = (table.max(axis=1) == n) & (n >= FEWEST_FIXED)
    alone &= share[table.argmax(axis=1)] ** n < _CHANCE / len(n)
    return np.asarray(table[alone].sum(axis=0))


def _fixed_by_end(values: FloatArray, n_by_arm: IntArray, share: FloatArray) -> IntArray:
    """Return, per arm, how many patients lie beyond all of the other arms; `values` are sorted by arm."""
    starts = np.append(0, n_by_arm.cumsum())
    fixed = np.zeros(len(share), dtype=np.int64)
    for sign in (1.0, -1.0):
        tops = np.nan_to_num(np.fmax.reduceat(sign * values, starts[:-1]), nan=-np.inf)
        k = int(tops.argmax())
        n = int((sign * values[starts[k] : starts[k + 1]] > np.delete(tops, k).max()).sum())
        if n >= FEWEST_FIXED and share[k] ** n < _CHANCE:
            fixed[k] = min(fixed[k] + n, n_by_arm[k])
    return fixed


# --- columns that say the same


def check_columns(columns: Sequence[Column]) -> list[DataCheck]:
    """Tell of columns that say the same: numbers correlated beyond 0.99, categories that are recodings.

    Correlations are over patients with both values, from a fixed draw of 50,000 where there are more.
    """
    columns = _varying(columns)
    same = np.eye(len(columns), dtype=bool)
    numbers = [j for j, column in enumerate(columns) if column.is_number]
    same[np.ix_(numbers, numbers)] |= (
        np.abs(_correlations([columns[j].values for j in numbers])) > SAME_COLUMN
    )
    for i, j in _recoded(columns):
        same[i, j] = True
    sets = connected_components(same, directed=False)[1] if len(columns) else np.empty(0, dtype=int)
    found = []
    for label in np.flatnonzero(np.bincount(sets) > 1):
        names = [columns[j].name for j in np.flatnonzero(sets == label)]
        message = (
            f"{len(names)} columns say the same (correlated above {SAME_COLUMN}, or recodings of one "
            f"another): {names}. Their effects cannot be told apart, and explanations divide them at "
            "will. Keep one."
        )
        found.append(DataCheck("collinear_columns", message))
    return found


def _correlations(columns: list[FloatArray]) -> FloatArray:
    """Return correlations over patients with both values; 0 where these are fewer than 30."""
    if not columns:
        return np.zeros((0, 0))
    rows = _drawn(len(columns[0]))
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
        flat = np.minimum(spread, spread.T) < 1e-6
    return np.where((n < FEWEST_FIXED) | flat, 0.0, np.nan_to_num(correlation))


def _recoded(columns: Sequence[Column]) -> Iterator[tuple[int, int]]:
    """Yield pairs of columns whose values stand for one another, one to one."""
    first: dict[bytes, int] = {}
    for j, column in enumerate(columns):
        if column.codes is not None and 5 * column.n_values <= len(column.codes):
            i = first.setdefault(sha256(column.codes.tobytes()).digest(), j)
            if i != j:
                yield i, j
