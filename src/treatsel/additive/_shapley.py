"""Exact interventional SHAP values of trees, prepared once for a background.

A mixture of a patient and a background row reaches a leaf if all conditions of the path hold: those on
columns taken from the patient for the patient, the others for the background row. Let a be the number of
columns satisfied by the patient alone, and b the number satisfied by the background row alone. The game of a
leaf with value v then has SHAP values in closed form: v (a-1)! b! / (a+b)! for each of the a columns, and
-v a! (b-1)! / (a+b)! for each of the b columns. Only the conditions that are satisfied matter, so that the
background is reduced to its distinct patterns at each leaf, one word of bits each.

References
----------
Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67, section "Interventional Tree SHAP".
doi:10.1038/s42256-019-0138-9
"""

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel.additive import _kernel
from treatsel.additive._scoring import score_trees
from treatsel.additive._trees import Trees
from treatsel.errors import UnsupportedModelError

MAX_COLUMNS = 62  # on one path: bits of a signed word
_WORTH_COMPILING = 20  # patients above which the compiled kernel saves more time than loading it takes
# Limits for trees of a forged file; 16,000 trees of 31 leaves with 2,000 background rows are within them.
MAX_CONDITIONS = 50_000_000  # on the paths to all leaves: 2 GB
MAX_PATTERNS = 50_000_000  # distinct patterns of all leaves: 1 GB
MAX_PAIRS = 1_000_000_000  # of leaf and background row: minutes
_SORTED = 250_000  # pairs of leaf and background row sorted at once: bounds memory
_CELLS = 2_000_000  # pairs of patient and node evaluated at once: bounds memory

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Paths:
    """Paths to all leaves: conditions are grouped by pairs of leaf and column, pairs by leaf.

    Attributes
    ----------
    trees : Trees
        Ensembles.
    node, left : ndarray of shape (n_conditions,)
        The node of a condition, and whether its left branch leads to the leaf.
    n_columns : int
        Number of source columns, the players.
    first_condition, column, leaf, bit : ndarray of shape (n_pairs,)
        First condition of each pair, its source column, the number of its leaf, and its bit within the leaf.
    first_pair, width, value, member : ndarray of shape (n_leaves,)
        First pair of each leaf, its number of pairs, its value, and its ensemble.
    """

    trees: Trees
    node: Integers
    left: npt.NDArray[np.bool_]
    first_condition: Integers
    column: Integers
    leaf: Integers
    bit: Integers
    first_pair: Integers
    width: Integers
    value: FloatArray
    member: Integers
    n_columns: int

    @classmethod
    def of(cls, trees: Trees, sources: npt.NDArray[np.intp]) -> "Paths":
        """Follow all leaves to their roots; a leaf that is a root has no conditions and is left out."""
        leaf_nodes, at, node, left = _conditions(trees)
        n_columns = int(sources.max()) + 1
        key = at * n_columns + sources[trees.feature[node]]
        order = np.argsort(key, kind="stable")
        pairs, first_condition = np.unique(key[order], return_index=True)
        number, first_pair, width = np.unique(pairs // n_columns, return_index=True, return_counts=True)
        if len(width) and width.max() > MAX_COLUMNS:
            raise UnsupportedModelError(
                f"A tree uses {width.max()} covariates on the path to one leaf; at most {MAX_COLUMNS} can be "
                "explained. Use fewer leaves or a smaller depth."
            )
        tree = np.searchsorted(trees.roots, leaf_nodes[number], side="right") - 1
        bit = np.int64(1) << (np.arange(len(pairs)) - np.repeat(first_pair, width))
        return cls(
            trees=trees,
            node=node[order],
            left=left[order],
            first_condition=first_condition,
            column=pairs % n_columns,
            leaf=np.repeat(np.arange(len(number)), width),
            bit=bit,
            first_pair=first_pair,
            width=width,
            value=trees.value[leaf_nodes[number]],
            member=trees.member[tree].astype(np.int64),
            n_columns=n_columns,
        )

    @lazy
    def condition_start(self) -> Integers:
        """Start of each pair's conditions, shape (n_pairs + 1,)."""
        return np.append(self.first_condition, len(self.node))

    @lazy
    def pair_start(self) -> Integers:
        """Start of each leaf's pairs, shape (n_leaves + 1,)."""
        return np.append(self.first_pair, len(self.column))

    def goes_left(self, matrix: FloatArray, nodes: slice = slice(None)) -> npt.NDArray[np.bool_]:
        """Return the decision of every row at every node, shape (n_rows, n_nodes)."""
        x = matrix[:, np.maximum(self.trees.feature[nodes], 0)]
        return np.where(np.isnan(x), self.trees.missing_left[nodes], x <= self.trees.threshold[nodes])

    def lacks(self, matrix: FloatArray, start: int = 0, stop: int | None = None) -> Integers:
        """Return, for leaves `start` to `stop`, the bits of the columns whose conditions a row fails.

        Shape (n_rows, n_leaves).
        """
        stop = len(self.width) if stop is None else stop
        pairs = slice(self.pair_start[start], self.pair_start[stop])
        conditions = slice(self.condition_start[pairs.start], self.condition_start[pairs.stop])
        node = self.node[conditions]
        nodes = slice(node.min(), node.max() + 1)
        fails = self.goes_left(matrix, nodes)[:, node - nodes.start] != self.left[conditions]
        of_pair = np.logical_or.reduceat(fails, self.first_condition[pairs] - conditions.start, axis=1)
        bits = np.where(of_pair, self.bit[pairs], 0)
        return np.add.reduceat(bits, self.first_pair[start:stop] - pairs.start, axis=1)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TreeGames:
    """The games of all leaves for one background.

    Attributes
    ----------
    paths : Paths
        The paths to the leaves.
    lacks : ndarray of shape (n_patterns,)
        The distinct patterns of background rows, leaf by leaf: bits of the columns that they fail.
    share : ndarray of shape (n_patterns,)
        Share of the background rows with each pattern.
    first_pattern : ndarray of shape (n_leaves + 1,)
        First pattern of each leaf.
    base : ndarray of shape (n_members,)
        Mean score of the background.
    """

    paths: Paths
    lacks: Integers
    share: FloatArray
    first_pattern: Integers
    base: FloatArray

    @lazy
    def leaf(self) -> Integers:
        """The leaf of each pattern."""
        return np.repeat(np.arange(len(self.paths.width)), np.diff(self.first_pattern))

    @lazy
    def n_lacks(self) -> npt.NDArray[np.uint8]:
        """Number of columns that each pattern fails."""
        return np.bitwise_count(self.lacks)

    @lazy
    def most_patterns(self) -> int:
        """Largest number of patterns of a leaf."""
        return int(np.diff(self.first_pattern).max(initial=0))

    @classmethod
    def of(cls, trees: Trees, reference: FloatArray, sources: npt.NDArray[np.intp]) -> "TreeGames":
        """Prepare the games of trees for a background.

        Parameters
        ----------
        trees : Trees
            Ensembles.
        reference : ndarray of shape (n_rows, n_features)
            Encoded background; all rows have the same weight.
        sources : ndarray of shape (n_features,)
            The source column of each feature: the players of the game. The features of one source (its
            categories, its missing indicator) always come from the same row.

        Raises
        ------
        UnsupportedModelError
            If the path to a leaf uses more than `MAX_COLUMNS` source columns.
        """
        paths, step = Paths.of(trees, sources), max(_SORTED // len(reference), 1)
        _check_size("pairs of leaf and background row", len(paths.width) * len(reference), MAX_PAIRS)
        lacks, share, n_patterns = [paths.bit[:0]], [np.zeros(0)], [np.zeros(1, dtype=np.int64)]
        for start in range(0, len(paths.width), step):
            stop = min(start + step, len(paths.width))
            ordered = np.sort(paths.lacks(reference, start, stop).T, axis=1)
            new = np.ones(ordered.shape, dtype=bool)
            new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
            where = np.flatnonzero(new)
            lacks.append(ordered.ravel()[where])
            share.append(np.diff(np.append(where, ordered.size)) / len(reference))
            n_patterns.append(new.sum(axis=1))
            _check_size("patterns of the background at their leaves", sum(map(len, lacks)), MAX_PATTERNS)
        return cls(
            paths=paths,
            lacks=np.concatenate(lacks),
            share=np.concatenate(share),
            first_pattern=np.cumsum(np.concatenate(n_patterns)),
            base=score_trees(trees, reference).mean(axis=0),
        )

    def values(self, matrix: FloatArray, weights: FloatArray, *, compiled: bool = False) -> FloatArray:
        """Return SHAP values by source column of a weighted sum of the ensembles.

        Parameters
        ----------
        matrix : ndarray of shape (n_patients, n_features)
            Encoded patients; NaN is a missing value.
        weights : ndarray of shape (n_members,)
            Weight of each ensemble.
        compiled : bool
            Whether to use the compiled kernel also for few patients.

        Returns
        -------
        ndarray of shape (n_patients, n_columns)
        """
        paths = self.paths
        value = paths.value * weights[paths.member]
        if compiled or (len(matrix) > _WORTH_COMPILING and _kernel.is_available()):
            step = max(_CELLS // len(self.paths.trees.feature), 1)
            blocks = [matrix[i : i + step] for i in range(0, len(matrix), step)]
            return np.concatenate([self._compiled_values(block, value) for block in blocks])
        found = np.zeros((len(matrix), paths.n_columns))
        for i in range(len(matrix) if len(value) else 0):
            self._add(found[i], paths.lacks(matrix[i : i + 1])[0], value)
        return found

    def _compiled_values(self, matrix: FloatArray, value: FloatArray) -> FloatArray:
        paths = self.paths
        return _kernel.shapley(
            paths.goes_left(matrix),
            n_columns=paths.n_columns,
            node=paths.node,
            left=paths.left,
            condition_start=paths.condition_start,
            column=paths.column,
            pair_start=paths.pair_start,
            value=value,
            lacks=self.lacks,
            n_lacks=self.n_lacks,
            share=self.share,
            first_pattern=self.first_pattern,
            most_patterns=self.most_patterns,
            factors=FACTORS,
        )

    def _add(self, found: FloatArray, mine: Integers, value: FloatArray) -> None:
        """Add the values of one patient; `mine`: bits of the columns that the patient fails, per leaf."""
        paths, n = self.paths, len(found)
        # a background row contributes to a leaf only if it satisfies every condition that the patient fails
        all_mine = np.repeat(np.where(value == 0, -1, mine), np.diff(self.first_pattern))
        counts = np.flatnonzero((self.lacks & all_mine) == 0)
        lacks, leaf = self.lacks[counts], self.leaf[counts]
        a, b = self.n_lacks[counts], np.bitwise_count(mine)[leaf]
        scale = self.share[counts] * value[leaf]
        loss = np.bincount(leaf, weights=scale * FACTORS[b, a], minlength=len(mine))
        fails = np.flatnonzero(mine[paths.leaf] & paths.bit)
        found -= np.bincount(paths.column[fails], weights=loss[paths.leaf[fails]], minlength=n)
        # each pattern contributes to every column that it fails and the patient satisfies
        gain = scale * FACTORS[a, b]
        for place in range(int(paths.width.max(initial=0))):
            some = np.flatnonzero((lacks >> place) & 1)
            column = paths.column[paths.first_pair[leaf[some]] + place]
            found += np.bincount(column, weights=gain[some], minlength=n)


def _check_size(what: str, n: int, most: int) -> None:
    if n > most:
        raise UnsupportedModelError(
            f"The trees have {n:,} {what}, or more; at most {most:,} can be explained. Use fewer or smaller "
            "trees, or a smaller background."
        )


def _conditions(trees: Trees) -> tuple[Integers, Integers, Integers, npt.NDArray[np.bool_]]:
    """Return the nodes of the leaves, and all conditions: number of the leaf, node, whether left."""
    inner, leaves = np.flatnonzero(trees.feature >= 0), np.flatnonzero(trees.feature < 0)
    parent = np.full(len(trees.feature), -1)
    parent[trees.left[inner]] = parent[trees.right[inner]] = inner
    is_left = np.zeros(len(parent), dtype=bool)
    is_left[trees.left[inner]] = True
    number, at, found, n = np.arange(len(leaves)), leaves, [], 0
    while len(at):
        _check_size("conditions on the paths to their leaves", n := n + len(at), MAX_CONDITIONS)
        up = parent[at]
        kept = up >= 0
        found.append((number[kept], up[kept], is_left[at[kept]]))
        number, at = number[kept], up[kept]
    leaf, node, left = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return leaves, leaf, node, left


def _factors() -> FloatArray:
    """Return (a-1)! b! / (a+b)! for a and b up to `MAX_COLUMNS`; 0 if a is 0."""
    counts = range(MAX_COLUMNS + 1)
    return np.array([[1 / (a * comb(a + b, a)) if a else 0.0 for b in counts] for a in counts])


FACTORS = _factors()


def warm_up() -> None:
    """Compile the kernel by explaining a tree with one split."""
    trees = Trees(
        feature=np.array([0, -1, -1], dtype=np.int32),
        threshold=np.zeros(3),
        left=np.array([1, 1, 2], dtype=np.int32),
        right=np.array([2, 1, 2], dtype=np.int32),
        missing_left=np.zeros(3, dtype=bool),
        value=np.array([0.0, 0.0, 1.0]),
        roots=np.zeros(1, dtype=np.int32),
        member=np.zeros(1, dtype=np.int32),
    )
    TreeGames.of(trees, np.zeros((1, 1)), np.zeros(1, dtype=np.intp)).values(
        np.ones((1, 1)), np.ones(1), compiled=True
    )
