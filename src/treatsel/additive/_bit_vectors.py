"""Trees as tables of bit vectors, for exact scores without following nodes (QuickScorer).

Number the leaves of a tree from left to right. A node whose condition fails rules out all leaves of its left
branch; the leaf that a patient reaches is the first leaf not ruled out by any failed node. Which nodes on a
feature fail depends only on how many of its thresholds lie below the patient's value. For each such count,
and for a missing value, a row of the table therefore holds the remaining leaves in every tree of a block, and
a patient's leaves are the conjunction of one row per feature.

References
----------
Lucchese et al. (2015), QuickScorer, SIGIR, 73-82. doi:10.1145/2766462.2767733
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel.additive._trees import Trees

MAX_LEAVES = 64  # bits of the widest word
MAX_SIZE_RATIO = 8  # of table to trees, plus 1 MB: larger tables exceed the cache and are not faster
WORDS = (np.uint8, np.uint16, np.uint32, np.uint64)  # used: the narrowest with enough bits for all leaves
_LOWEST_OF_BYTE = np.array([0, *((byte & -byte).bit_length() - 1 for byte in range(1, 256))])
LINE = 64  # bytes of a row: a cache line, with one word for each tree of a block


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BitVectors:
    """Ensembles of trees with at most 64 leaves each, as bit vectors.

    Attributes
    ----------
    features : ndarray of shape (n_used,), intp
        Columns of the matrix on which any tree splits.
    edges : list of list of float
        Per used feature its distinct thresholds, ascending.
    first_rank : ndarray of shape (n_used,), int64
        Rank of a value below all thresholds of a feature. Each threshold below a value adds one to its rank;
        the last rank is that of a missing value.
    row_of : ndarray of shape (n_ranks, n_blocks), int32
        Row of the table for a rank and a block of trees.
    table : ndarray of shape (n_rows, n_lanes), unsigned integers
        Remaining leaves in each tree of a block.
    first_leaf : ndarray of shape (n_trees,), int64
        Position of each tree's first leaf in `value`.
    value : ndarray of shape (n_leaves,), float64
        Contribution of each leaf.
    member : ndarray of shape (n_trees,), int64
        The ensemble that each tree belongs to, in order.
    """

    features: npt.NDArray[np.intp]
    edges: list[list[float]]
    first_rank: npt.NDArray[np.int64]
    row_of: npt.NDArray[np.int32]
    table: np.ndarray
    first_leaf: npt.NDArray[np.int64]
    value: FloatArray
    member: npt.NDArray[np.int64]

    @classmethod
    def of(cls, trees: Trees) -> "BitVectors | None":
        """Return the table of trees; None if they are too large, or none of them has a split."""
        first, count = _leaves_below(trees)
        inner = np.flatnonzero(trees.feature >= 0)
        n_leaves = int(count[trees.roots].max())
        if n_leaves > MAX_LEAVES or not len(inner):
            return None
        tree_of = np.searchsorted(trees.roots, np.arange(len(trees.feature)), side="right") - 1
        features, used = np.unique(trees.feature[inner], return_inverse=True)
        by_feature = np.split(np.argsort(used, kind="stable"), np.cumsum(np.bincount(used))[:-1])
        edges = [np.unique(trees.threshold[inner[mine]]) for mine in by_feature]
        first_rank = np.cumsum([0, *(len(own) + 2 for own in edges)])
        kind = next(word for word in WORDS if n_leaves <= 8 * word().itemsize)
        n_blocks = -(-len(trees.roots) * kind().itemsize // LINE)
        n_bytes = n_blocks * (5 * int(first_rank[-1]) + 2 * LINE * len(features)) + LINE * len(inner)
        if n_bytes > 1_000_000 + MAX_SIZE_RATIO * sum(getattr(trees, part).nbytes for part in trees.ARRAYS):
            return None
        rank = first_rank[used] + 1
        for own, mine in zip(edges, by_feature, strict=True):
            rank[mine] += np.searchsorted(own, trees.threshold[inner[mine]])
        ruled_out = ~_bits(first[trees.left[inner]], count[trees.left[inner]], kind)
        gone = ~trees.missing_left[inner]
        row_of, table = _table(n_blocks, tree_of[inner], used, rank, first_rank, ruled_out, gone)
        leaf = np.flatnonzero(trees.feature < 0)
        first_leaf = np.cumsum([0, *count[trees.roots]])[:-1]
        value = np.zeros(len(leaf))
        value[first_leaf[tree_of[leaf]] + first[leaf]] = trees.value[leaf]
        return cls(
            features=features.astype(np.intp),
            edges=[own.tolist() for own in edges],
            first_rank=first_rank[:-1],
            row_of=row_of,
            table=table,
            first_leaf=first_leaf,
            value=value,
            member=trees.member.astype(np.int64),
        )

    @property
    def n_members(self) -> int:
        """Number of ensembles."""
        return int(self.member[-1]) + 1

    @lazy
    def edge_values(self) -> FloatArray:
        """All thresholds, one feature after the other."""
        return np.array([edge for own in self.edges for edge in own])

    @lazy
    def edge_start(self) -> npt.NDArray[np.int64]:
        """Start of each feature's thresholds, shape (n_used + 1,)."""
        return np.cumsum([0, *map(len, self.edges)])

    @lazy
    def row_of_block(self) -> npt.NDArray[np.int32]:
        """Transpose of `row_of`, contiguous by block, shape (n_blocks, n_ranks)."""
        return np.ascontiguousarray(self.row_of.T)

    def score_one(self, x: FloatArray) -> FloatArray:
        """Return the sums of one patient's leaf values, shape (n_members,)."""
        ranks = [
            first + (len(own) + 1 if v != v else bisect_left(own, v))
            for first, own, v in zip(
                self.first_rank.tolist(), self.edges, x[self.features].tolist(), strict=True
            )
        ]
        rows = self.table.take(self.row_of.take(ranks, axis=0), axis=0)
        words = rows.reshape(len(ranks), -1).view(np.uint64)
        left = np.bitwise_and.reduce(words, axis=0).view(rows.dtype)[: len(self.member)]
        values = self.value.take(self.first_leaf + _lowest_bit(left))
        # bincount adds tree by tree in order, as LightGBM does, so that the sums are bit-equal
        return np.bincount(self.member, weights=values, minlength=self.n_members).astype(np.float64)


def _lowest_bit(words: np.ndarray) -> np.ndarray:
    """Return the position of the lowest bit that is set."""
    if words.dtype == np.uint8:
        return _LOWEST_OF_BYTE.take(words)
    return np.asarray(np.frexp((words & -words).astype(np.float64))[1] - 1)


def _table(
    n_blocks: int,
    tree: np.ndarray,
    used: np.ndarray,
    rank: np.ndarray,
    first_rank: np.ndarray,
    ruled_out: np.ndarray,
    right_if_missing: np.ndarray,
) -> tuple[npt.NDArray[np.int32], np.ndarray]:
    """Return `row_of` and `table`; a block has a new row only at ranks where one of its own nodes fails."""
    n_lanes = LINE // ruled_out.dtype.itemsize
    block, lane = tree // n_lanes, tree % n_lanes
    starts, missing = first_rank[:-1], first_rank[1:] - 1
    begins = np.zeros((n_blocks, int(first_rank[-1])), dtype=bool)
    begins[:, starts] = begins[:, missing] = True
    begins[block, rank] = True
    row_of = (np.cumsum(begins.ravel()) - 1).reshape(begins.shape)
    table = np.full((int(row_of[-1, -1]) + 1, n_lanes), ~ruled_out.dtype.type(0))
    np.bitwise_and.at(table, (row_of[block, rank], lane), ruled_out)
    for low, high in zip(row_of[:, starts].ravel(), row_of[:, missing].ravel(), strict=True):
        np.bitwise_and.accumulate(table[low:high], axis=0, out=table[low:high])
    gone = right_if_missing
    rows = row_of[block[gone], missing[used[gone]]]
    np.bitwise_and.at(table, (rows, lane[gone]), ruled_out[gone])
    return np.ascontiguousarray(row_of.T, dtype=np.int32), table


def _leaves_below(trees: Trees) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return for each node the number of its first leaf within the tree, and its number of leaves."""
    first = np.zeros(len(trees.feature), dtype=np.int64)
    count = (trees.feature < 0).astype(np.int64)
    levels, level = [], trees.roots[trees.feature[trees.roots] >= 0]
    while len(level):
        levels.append(level)
        below = np.concatenate([trees.left[level], trees.right[level]])
        level = below[trees.feature[below] >= 0]
    for nodes in reversed(levels):
        count[nodes] = count[trees.left[nodes]] + count[trees.right[nodes]]
    for nodes in levels:
        first[trees.left[nodes]] = first[nodes]
        first[trees.right[nodes]] = first[nodes] + count[trees.left[nodes]]
    return first, count


def _bits(first: np.ndarray, count: np.ndarray, kind: type[np.unsignedinteger]) -> np.ndarray:
    """Return words with bits `first` to `first + count - 1` set; `count` is below the word's width."""
    one = kind(1)
    return np.asarray(((one << count.astype(kind)) - one) << first.astype(kind))
