"""The batch kernel of `Forest`, compiled by numba when it is first needed."""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive._forest import Forest

ROWS = 1024  # patients that go through one block of trees before the next
_MULTIPLIER = np.uint64(0x03F79D71B4CB0A89)  # de Bruijn: its top six bits, times a single bit, say which
_SHIFT = np.uint64(58)


def is_available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def score(forest: Forest, matrix: FloatArray) -> FloatArray:
    """Return the sums of the leaf values, shape (n_patients, n_members); runs without Python's lock."""
    sizes = [len(own) for own in forest.edges]
    out = np.zeros((len(matrix), forest.n_members))
    _compiled()(
        np.ascontiguousarray(matrix),
        forest.features,
        np.array([edge for own in forest.edges for edge in own]),
        np.cumsum([0, *sizes]),
        forest.first_rank,
        np.ascontiguousarray(forest.row_of.T),
        forest.table,
        forest.first_leaf,
        forest.value,
        forest.member,
        _positions(),
        out,
    )
    return out


@cache
def _positions() -> np.ndarray:
    """Return which bit is set, by the top bits of its product with the multiplier."""
    positions = np.zeros(64, dtype=np.int64)
    for bit in range(64):
        positions[((int(_MULTIPLIER) << bit) % 2**64) >> int(_SHIFT)] = bit
    return positions


@cache
def _compiled() -> Any:
    from numba import njit

    return njit(nogil=True, cache=True)(_score)


def _score(  # type: ignore[no-untyped-def] # numba infers the types
    matrix, features, edges, edge_start, first_rank, row_of, table, first_leaf, value, member, positions, out
):
    n, n_used, n_trees, n_lanes = matrix.shape[0], len(features), len(member), table.shape[1]
    ranks = np.empty((ROWS, n_used), dtype=np.uint64)
    left = np.empty(n_lanes, dtype=table.dtype)
    for start in range(0, n, ROWS):
        here = min(ROWS, n - start)
        for i in range(here):
            for j in range(n_used):
                x = matrix[start + i, features[j]]
                low, high = edge_start[j], edge_start[j + 1]
                if x != x:
                    ranks[i, j] = first_rank[j] + high - low + 1
                    continue
                while low < high:
                    middle = (low + high) >> 1
                    if edges[middle] < x:
                        low = middle + 1
                    else:
                        high = middle
                ranks[i, j] = first_rank[j] + low - edge_start[j]
        for block in range(row_of.shape[0]):
            first = block * n_lanes
            for i in range(here):
                left[:] = table[row_of[block, ranks[i, 0]]]
                for j in range(1, n_used):
                    row = row_of[block, ranks[i, j]]
                    for t in range(n_lanes):
                        left[t] &= table[row, t]
                for t in range(first, min(first + n_lanes, n_trees)):
                    word = np.uint64(left[t - first])
                    lowest = word & (~word + np.uint64(1))
                    leaf = positions[(lowest * _MULTIPLIER) >> _SHIFT]
                    out[start + i, member[t]] += value[first_leaf[t] + leaf]
