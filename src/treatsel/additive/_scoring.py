"""Scores of trees: by bit vectors, compiled or in NumPy, or by following nodes.

All three add the leaf values of an ensemble tree by tree, so that their results are bit-equal.
"""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel.additive import _kernel
from treatsel.additive._bit_vectors import BitVectors
from treatsel.additive._trees import Trees

BLOCK_CELLS = 1_000_000  # (patient, tree) pairs followed at once: bounds the memory to about 40 MB
# Pairs above which the kernel is loaded; below, following nodes takes less time than loading the kernel.
WORTH_COMPILING = 3_000_000
_CACHE = "_bit_vectors"


def score_trees(trees: Trees, matrix: FloatArray, *, compiled: bool = False) -> FloatArray:
    """Return the sums of the leaf values, shape (n_patients, n_members).

    `compiled`: whether to use the compiled kernel for few patients too.
    """
    many = len(matrix) * len(trees.roots) > WORTH_COMPILING and _kernel.is_available()
    if (compiled or many) and (vectors := bit_vectors_of(trees)) is not None:
        return score_compiled(vectors, matrix)
    if len(matrix) == 1 and (vectors := bit_vectors_of(trees)) is not None:
        return vectors.score_one(matrix[0])[None]
    return walk(trees, matrix)


def score_compiled(vectors: BitVectors, matrix: FloatArray) -> FloatArray:
    """Return the scores from bit vectors by the compiled kernel, shape (n_patients, n_members)."""
    return _kernel.score(
        matrix,
        features=vectors.features,
        edges=vectors.edge_values,
        edge_start=vectors.edge_start,
        first_rank=vectors.first_rank,
        row_of=vectors.row_of_block,
        table=vectors.table,
        first_leaf=vectors.first_leaf,
        value=vectors.value,
        member=vectors.member,
    )


def bit_vectors_of(trees: Trees) -> BitVectors | None:
    """Return the same trees as bit vectors, computed once; None if they have no such form."""
    cache = trees.__dict__  # trees are frozen, so the cache stays valid; two threads would store equal values
    if _CACHE not in cache:
        cache[_CACHE] = BitVectors.of(trees)
    found: BitVectors | None = cache[_CACHE]
    return found


def walk(trees: Trees, matrix: FloatArray) -> FloatArray:
    """Return the sums of the leaf values by following each patient through each tree."""
    total = np.zeros((len(matrix), trees.n_members))
    step = max(BLOCK_CELLS // len(trees.roots), 1)
    for start in range(0, len(matrix), step):
        rows = slice(start, start + step)
        leaves = trees.value[_leaves(trees, matrix[rows])]
        np.add.at(total[rows].T, trees.member, leaves.T)  # tree after tree, as LightGBM adds
    return total


def _leaves(trees: Trees, matrix: FloatArray) -> npt.NDArray[np.int32]:
    """Return the leaf that each patient reaches in each tree, shape (n_patients, n_trees)."""
    n = len(matrix)
    node = np.tile(trees.roots, n)
    row = np.repeat(np.arange(n), len(trees.roots))
    active = np.flatnonzero(trees.feature[node] >= 0)
    while len(active):
        at = node[active]
        x = matrix[row[active], trees.feature[at]]
        goes_left = np.where(np.isnan(x), trees.missing_left[at], x <= trees.threshold[at])
        at = np.where(goes_left, trees.left[at], trees.right[at])
        node[active] = at
        active = active[trees.feature[at] >= 0]
    return node.reshape(n, -1)
