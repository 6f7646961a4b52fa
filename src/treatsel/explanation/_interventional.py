"""Exact interventional SHAP values of trees, in float64.

A leaf is reached by a mixture of patient and background row if each source column on its path agrees: columns
taken from the patient must satisfy the path's conditions for the patient, the others for the background
row. With a columns that only the patient satisfies and b that only the background row satisfies, the
leaf's value v is a game with a closed-form Shapley value: v (a-1)! b! / (a+b)! for each of the a, and
-v a! (b-1)! / (a+b)! for each of the b.  Patients and background rows matter only through which
conditions they satisfy, so each leaf needs one small table of patterns against patterns.

References
----------
Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67, section "Interventional Tree SHAP".
doi:10.1038/s42256-019-0138-9
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from treatsel._checks import FloatArray
from treatsel.models import Trees

BoolArray = npt.NDArray[np.bool_]


def interventional_shap(
    trees: Trees, matrix: FloatArray, reference: FloatArray, sources: npt.NDArray[np.intp]
) -> tuple[FloatArray, float]:
    """Return SHAP values, shape (n_patients, n_sources), and the mean score of the reference.

    Parameters
    ----------
    trees : Trees
        Ensemble.
    matrix : ndarray of shape (n_patients, n_features)
        Encoded patients; NaN is a missing value.
    reference : ndarray of shape (n_rows, n_features)
        Encoded background; every row counts.
    sources : ndarray of shape (n_features,)
        The source column of each feature: the players of the game. The pieces of one source (its
        categories, its missing indicator) always come from the same row.
    """
    values = np.zeros((len(matrix), int(sources.max()) + 1))
    mine, theirs = _goes_left(trees, matrix), _goes_left(trees, reference)
    for leaf, path in _paths(trees):
        players = [int(sources[trees.feature[node]]) for node, _ in path]
        columns = sorted(set(players))
        if not columns:
            continue
        held = [_satisfied(side, path, players, columns) for side in (mine, theirs)]
        patterns, which = np.unique(held[0], axis=0, return_inverse=True)
        rows, counts = np.unique(held[1], axis=0, return_counts=True)
        table = _shapley(patterns, rows, counts / len(reference))
        values[:, columns] += trees.value[leaf] * table[which.ravel()]
    return values, float(trees.score(reference).mean())


def _goes_left(trees: Trees, matrix: FloatArray) -> BoolArray:
    """Return the decision of every row at every node, shape (n_rows, n_nodes)."""
    x = matrix[:, np.maximum(trees.feature, 0)]
    return np.where(np.isnan(x), trees.missing_left, x <= trees.threshold)


def _paths(trees: Trees) -> Iterator[tuple[int, list[tuple[int, bool]]]]:
    """Give each leaf with the inner nodes above it and the side that leads to it."""
    waiting: list[tuple[int, list[tuple[int, bool]]]] = [(int(root), []) for root in trees.roots]
    while waiting:
        node, path = waiting.pop()
        if trees.feature[node] < 0:
            yield node, path
        else:
            waiting.append((int(trees.left[node]), [*path, (node, True)]))
            waiting.append((int(trees.right[node]), [*path, (node, False)]))


def _satisfied(
    goes_left: BoolArray, path: list[tuple[int, bool]], players: list[int], columns: list[int]
) -> BoolArray:
    """Return whether each row satisfies all conditions of a path on a source: (n_rows, n_columns)."""
    held = np.ones((len(goes_left), len(columns)), dtype=bool)
    for (node, left), player in zip(path, players, strict=True):
        held[:, columns.index(player)] &= goes_left[:, node] == left
    return held


def _shapley(patterns: BoolArray, rows: BoolArray, weights: FloatArray) -> FloatArray:
    """Return the Shapley values of a leaf of value 1 for each pattern, mean over the weighted rows."""
    x, r = patterns.astype(float), rows.astype(float)
    a, b = x @ (1 - r).T, (1 - x) @ r.T
    possible = ((1 - x) @ (1 - r).T == 0) * weights
    total = gammaln(a + b + 1)
    gain = possible * np.exp(gammaln(np.maximum(a, 1)) + gammaln(b + 1) - total)
    loss = possible * np.exp(gammaln(a + 1) + gammaln(np.maximum(b, 1)) - total)
    return np.asarray(x * (gain @ (1 - r)) - (1 - x) * (loss @ r))
