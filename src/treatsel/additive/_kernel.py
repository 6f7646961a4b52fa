"""Inner loops of scoring and explaining, compiled by numba when first needed."""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._files import is_private
from treatsel.errors import InputError

ALL = np.uint64(2**64 - 1)
ROWS = 256  # patients scored with one block of trees at a time, so that its rows stay in the cache
# De Bruijn sequence: multiplied by a single bit, its top six bits identify the position of the bit
# (Leiserson, Prokop & Randall 1998, Using de Bruijn sequences to index a 1 in a computer word, MIT).
_MULTIPLIER = np.uint64(0x03F79D71B4CB0A89)
_SHIFT = np.uint64(58)


def is_available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def check_compiled(compiled: bool) -> None:
    """Raise `InputError` if kernels are requested and numba is not installed."""
    if compiled and not is_available():
        raise InputError("compiled=True needs numba, which is not installed. Install it, or omit compiled.")


def score(
    matrix: FloatArray,
    *,
    features: np.ndarray,
    edges: FloatArray,
    edge_start: np.ndarray,
    first_rank: np.ndarray,
    row_of: np.ndarray,
    table: np.ndarray,
    first_leaf: np.ndarray,
    value: FloatArray,
    member: np.ndarray,
) -> FloatArray:
    """Return the sums of the leaf values, shape (n_patients, n_members); the interpreter lock is released.

    The arrays are those of `BitVectors`, with thresholds and rows ordered by feature.
    """
    out = np.zeros((len(matrix), int(member[-1]) + 1))
    compiled_form(_score)(
        np.ascontiguousarray(matrix),
        features,
        edges,
        edge_start,
        first_rank,
        row_of,
        table,
        table.view(np.uint64),
        first_leaf,
        value,
        member,
        _positions(),
        out,
    )
    return out


@cache
def _positions() -> np.ndarray:
    """Return the position of a bit by the top bits of its product with the multiplier."""
    positions = np.zeros(64, dtype=np.uint64)
    for bit in range(64):
        positions[((int(_MULTIPLIER) << bit) % 2**64) >> int(_SHIFT)] = bit
    return positions


def shapley(
    goes_left: np.ndarray,
    *,
    n_columns: int,
    node: np.ndarray,
    left: np.ndarray,
    condition_start: np.ndarray,
    column: np.ndarray,
    pair_start: np.ndarray,
    value: FloatArray,
    lacks: np.ndarray,
    n_lacks: np.ndarray,
    share: FloatArray,
    first_pattern: np.ndarray,
    most_patterns: int,
    factors: FloatArray,
) -> FloatArray:
    """Return SHAP values, shape (n_patients, n_columns); the interpreter lock is released.

    The arrays are those of `TreeGames` and its paths; `value` is the contribution of each leaf.
    """
    out = np.zeros((len(goes_left), n_columns))
    compiled_form(_shapley)(
        goes_left,
        node,
        left,
        condition_start,
        column,
        pair_start,
        value,
        lacks,
        n_lacks,
        share,
        first_pattern,
        most_patterns,
        factors,
        _positions(),
        out,
    )
    return out


def weighted_sum(table: np.ndarray, weights: FloatArray) -> FloatArray:
    """Return the weighted sum of a table's rows in float64; rows of weight 0 are not read."""
    out = np.zeros(table.shape[1])
    compiled_form(_weighted_sum)(table, weights, out)
    return out


def order_statistics(values: FloatArray, below: int, above: int) -> FloatArray:
    """Return the values of ranks below, above, below + 1 and above + 1 (from 0) of each row.

    Shape (n_rows, 4). Fast if `below` is near the lowest and `above` near the highest rank: only the ends of
    the order are sorted. A rank beyond the last is the last.
    """
    out = np.empty((len(values), 4))
    compiled_form(_order_statistics)(values, below, above, out)
    return out


@cache
def compiled_form(function: Any) -> Any:
    from numba import njit

    try:
        compiled = njit(nogil=True, cache=True)(function)
        folder = compiled.stats.cache_path
        if folder is not None and is_private(folder):  # numba unpickles what the cache holds
            return compiled
    except (RuntimeError, OSError):  # no writable folder for the cache
        pass
    return njit(nogil=True)(function)  # compiled in every process


def _score(  # type: ignore[no-untyped-def] # numba infers the types
    matrix,
    features,
    edges,
    edge_start,
    first_rank,
    row_of,
    table,
    words,
    first_leaf,
    value,
    member,
    positions,
    out,
):
    n, n_used, n_trees, n_lanes = matrix.shape[0], len(features), len(member), table.shape[1]
    ranks = np.empty((n_used, min(ROWS, n)), dtype=np.uint32)
    left = np.empty((min(ROWS, n), words.shape[1]), dtype=np.uint64)
    lanes = left.view(table.dtype)
    for start in range(0, n, ROWS):
        here = min(ROWS, n - start)
        for j in range(n_used):
            for i in range(here):
                x = matrix[start + i, features[j]]
                below, size = edge_start[j], edge_start[j + 1] - edge_start[j]
                if x != x:
                    ranks[j, i] = first_rank[j] + size + 1
                    continue
                while size > 1:  # binary search without a branch that depends on the value
                    half = size >> 1
                    below += half if edges[below + half - 1] < x else 0
                    size -= half
                below += 1 if edges[below] < x else 0
                ranks[j, i] = first_rank[j] + below - edge_start[j]
        for block in range(row_of.shape[0]):
            left[:here] = ALL
            for j in range(n_used):
                for i in range(here):
                    row = np.uint64(row_of[block, ranks[j, i]])
                    a = words[row, 0] & left[i, 0]
                    b = words[row, 1] & left[i, 1]
                    c = words[row, 2] & left[i, 2]
                    d = words[row, 3] & left[i, 3]
                    e = words[row, 4] & left[i, 4]
                    f = words[row, 5] & left[i, 5]
                    g = words[row, 6] & left[i, 6]
                    h = words[row, 7] & left[i, 7]
                    left[i, 0], left[i, 1], left[i, 2], left[i, 3] = a, b, c, d
                    left[i, 4], left[i, 5], left[i, 6], left[i, 7] = e, f, g, h
            first = block * n_lanes
            last = min(first + n_lanes, n_trees)
            for i in range(here):
                ensemble = member[first]
                total = out[start + i, ensemble]
                for t in range(first, last):
                    if member[t] != ensemble:
                        out[start + i, ensemble] = total
                        ensemble = member[t]
                        total = out[start + i, ensemble]
                    word = np.uint64(lanes[i, t - first])
                    lowest = word & (~word + np.uint64(1))
                    total += value[np.uint64(first_leaf[t]) + positions[(lowest * _MULTIPLIER) >> _SHIFT]]
                out[start + i, ensemble] = total


def _shapley(  # type: ignore[no-untyped-def] # numba infers the types
    goes_left,
    node,
    left,
    condition_start,
    column,
    pair_start,
    value,
    lacks,
    n_lacks,
    share,
    first_pattern,
    most_patterns,
    factors,
    positions,
    out,
):
    gains, compatible = np.zeros(64), np.empty(most_patterns + 1, dtype=np.int64)
    for i in range(len(out)):
        for leaf in range(len(value)):
            if value[leaf] == 0:
                continue
            first, mine, b = pair_start[leaf], 0, 0
            width = pair_start[leaf + 1] - first
            for place in range(width):
                for c in range(condition_start[first + place], condition_start[first + place + 1]):
                    if goes_left[i, node[c]] != left[c]:
                        mine |= 1 << place
                        b += 1
                        break
            n = 0  # number of patterns that satisfy all conditions that the patient fails; without a branch
            for pattern in range(first_pattern[leaf], first_pattern[leaf + 1]):
                compatible[n] = pattern
                n += (lacks[pattern] & mine) == 0
            loss = 0.0
            gains[:width] = 0.0
            for pattern in compatible[:n]:
                a = n_lacks[pattern]
                loss += share[pattern] * factors[b, a]
                gain = share[pattern] * factors[a, b]
                theirs = np.uint64(lacks[pattern])
                for _ in range(a):
                    lowest = theirs & (~theirs + np.uint64(1))
                    gains[positions[(lowest * _MULTIPLIER) >> _SHIFT]] += gain
                    theirs ^= lowest
            for place in range(width):
                if (mine >> place) & 1:
                    out[i, column[first + place]] -= value[leaf] * loss
                else:
                    out[i, column[first + place]] += value[leaf] * gains[place]


def _weighted_sum(table, weights, out):  # type: ignore[no-untyped-def] # numba infers the types
    for i in range(len(weights)):
        weight = weights[i]
        if weight != 0:
            for j in range(len(out)):
                out[j] += weight * table[i, j]


def _order_statistics(values, below, above, out):  # type: ignore[no-untyped-def] # numba infers the types
    n_values = values.shape[1]
    lowest, highest = np.empty(min(below + 2, n_values)), np.empty(n_values - above)
    for i in range(len(values)):
        lowest[:], highest[:] = np.inf, -np.inf
        low, high = np.inf, -np.inf  # a value must be beyond these to be among the lowest, the highest
        for t in range(n_values):  # sorted insertion into short arrays
            value = values[i, t]
            if value < low:
                j = len(lowest) - 1
                while j > 0 and lowest[j - 1] > value:
                    lowest[j] = lowest[j - 1]
                    j -= 1
                lowest[j] = value
                low = lowest[len(lowest) - 1]
            if value > high:
                j = len(highest) - 1
                while j > 0 and highest[j - 1] < value:
                    highest[j] = highest[j - 1]
                    j -= 1
                highest[j] = value
                high = highest[len(highest) - 1]
        last = n_values - 1 - above
        out[i, 0], out[i, 2] = lowest[below], lowest[min(below + 1, n_values - 1)]
        out[i, 1], out[i, 3] = highest[last], highest[max(last - 1, 0)]
