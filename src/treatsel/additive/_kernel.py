"""The batch kernel of `Forest`, compiled by numba when it is first needed."""

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive._forest import Forest

ALL = np.uint64(2**64 - 1)
ROWS = 256  # patients that go through one block of trees before the next
_MULTIPLIER = np.uint64(0x03F79D71B4CB0A89)  # de Bruijn: its top six bits, times a single bit, say which
_SHIFT = np.uint64(58)


def is_available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def score(forest: Forest, matrix: FloatArray) -> FloatArray:
    """Return the sums of the leaf values, shape (n_patients, n_members); runs without Python's lock."""
    out = np.zeros((len(matrix), forest.n_members))
    _compiled()(
        np.ascontiguousarray(matrix),
        forest.features,
        forest.edge_values,
        forest.edge_start,
        forest.first_rank,
        forest.row_of_block,
        forest.table,
        forest.table.view(np.uint64),
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
    positions = np.zeros(64, dtype=np.uint64)
    for bit in range(64):
        positions[((int(_MULTIPLIER) << bit) % 2**64) >> int(_SHIFT)] = bit
    return positions


@cache
def _compiled() -> Any:
    from numba import njit

    return njit(nogil=True, cache=True)(_score)


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
                while size > 1:  # without a branch that depends on the patient
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
