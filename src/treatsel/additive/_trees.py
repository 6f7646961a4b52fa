"""Boosted trees as flat arrays, scored by plain numpy.

A node is a row of five arrays; children come after their parents; a leaf points to itself. What a
missing value does is decided once, when the trees are read: `missing_left`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel.additive import _kernel
from treatsel.additive._bit_vectors import Forest

MAX_DEPTH = 256
_BLOCK_CELLS = 1_000_000  # (patient, tree) pairs that are followed at once
_WORTH_COMPILING = 3_000_000  # pairs from which on the kernel is loaded (compiled, the very first time)


@dataclass(frozen=True, eq=False)
class Trees:
    """Ensembles of trees, one after the other; the leaf values of each are added up.

    Attributes
    ----------
    feature : ndarray of shape (n_nodes,), int32
        Column of the matrix that an inner node looks at; -1 for a leaf.
    threshold : ndarray of shape (n_nodes,), float64
        Values up to and including it go left.
    left, right : ndarray of shape (n_nodes,), int32
        Children, always after their parent; a leaf points to itself.
    missing_left : ndarray of shape (n_nodes,), bool
        Where a missing value goes.
    value : ndarray of shape (n_nodes,), float64
        What a leaf adds to the logit; 0 for inner nodes.
    roots : ndarray of shape (n_trees,), int32
        First node of each tree.
    member : ndarray of shape (n_trees,), int32
        The ensemble that each tree belongs to, in order: 0, 0, 1, ...
    """

    feature: npt.NDArray[np.int32]
    threshold: FloatArray
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    missing_left: npt.NDArray[np.bool_]
    value: FloatArray
    roots: npt.NDArray[np.int32]
    member: npt.NDArray[np.int32]

    ARRAYS = ("feature", "threshold", "left", "right", "missing_left", "value", "roots", "member")
    OF_TREES = ("roots", "member")

    @classmethod
    def join(cls, ensembles: Sequence["Trees"]) -> "Trees":
        """Put ensembles one after the other; each of their members stays one."""
        offsets = np.cumsum([0, *(len(e.feature) for e in ensembles)])
        members = np.cumsum([0, *(e.n_members for e in ensembles)])
        shift = {"left": offsets, "right": offsets, "roots": offsets, "member": members}
        return cls(
            **{
                part: np.concatenate(
                    [
                        getattr(e, part) + shift[part][i].astype(np.int32)
                        if part in shift
                        else getattr(e, part)
                        for i, e in enumerate(ensembles)
                    ]
                )
                for part in cls.ARRAYS
            }
        )

    def __getstate__(self) -> dict[str, np.ndarray]:
        """Leave the bit vectors out of copies and pickles: they are made again where they are needed."""
        return {part: getattr(self, part) for part in self.ARRAYS}

    @property
    def n_members(self) -> int:
        """Number of ensembles."""
        return int(self.member[-1]) + 1

    def renumbered(self, columns: npt.NDArray[np.intp]) -> "Trees":
        """Return the trees with feature j called `columns[j]`."""
        feature = np.where(self.feature >= 0, columns[self.feature], -1).astype(np.int32)
        return replace(self, feature=feature)

    def weighted(self, weights: FloatArray) -> "Trees | None":
        """Return one ensemble: the members' sum with these weights; None if all are 0."""
        kept = np.flatnonzero(weights[self.member] != 0)
        if not len(kept):
            return None
        ends = np.append(self.roots[1:], len(self.feature))
        of_node = np.repeat(weights[self.member], np.diff(np.append(self.roots, ends[-1])))
        inside = np.zeros(len(self.feature), dtype=bool)
        for tree in kept:
            inside[self.roots[tree] : ends[tree]] = True
        position = (np.cumsum(inside) - 1).astype(np.int32)
        return Trees(
            feature=self.feature[inside],
            threshold=self.threshold[inside],
            left=position[self.left[inside]],
            right=position[self.right[inside]],
            missing_left=self.missing_left[inside],
            value=(self.value * of_node)[inside],
            roots=position[self.roots[kept]],
            member=np.zeros(len(kept), dtype=np.int32),
        )

    @lazy
    def forest(self) -> Forest | None:
        """The same trees as bit vectors; None where they do not fit."""
        return Forest.of(self)

    def score(self, matrix: FloatArray, *, compiled: bool = False) -> FloatArray:
        """Return the sums of the leaf values, shape (n_patients, n_members).

        By bit vectors, compiled or not, or by walking from node to node: the same bits, as leaves are added
        tree by tree. `compiled`: whether to use the compiled kernel also for few patients.
        """
        many = len(matrix) * len(self.roots) > _WORTH_COMPILING and _kernel.is_available()
        if (compiled or many) and self.forest is not None:
            return _kernel.score(self.forest, matrix)
        if len(matrix) == 1 and self.forest is not None:
            return self.forest.score_one(matrix[0])[None]
        return self._walk(matrix)

    def _walk(self, matrix: FloatArray) -> FloatArray:
        total = np.zeros((len(matrix), self.n_members))
        step = max(_BLOCK_CELLS // len(self.roots), 1)
        for start in range(0, len(matrix), step):
            rows = slice(start, start + step)
            leaves = self.value[self._leaves(matrix[rows])]
            np.add.at(total[rows].T, self.member, leaves.T)  # tree after tree, as LightGBM adds
        return total

    def _leaves(self, matrix: FloatArray) -> npt.NDArray[np.int32]:
        """Return the leaf that each patient reaches in each tree, shape (n_patients, n_trees)."""
        n = len(matrix)
        node = np.tile(self.roots, n)
        row = np.repeat(np.arange(n), len(self.roots))
        active = np.flatnonzero(self.feature[node] >= 0)
        while len(active):
            at = node[active]
            x = matrix[row[active], self.feature[at]]
            goes_left = np.where(np.isnan(x), self.missing_left[at], x <= self.threshold[at])
            at = np.where(goes_left, self.left[at], self.right[at])
            node[active] = at
            active = active[self.feature[at] >= 0]
        return node.reshape(n, -1)

    def problem(self, n_features: int) -> str | None:
        """Say what is wrong with the structure, or None: what `score` relies on to end."""
        n = len(self.feature)
        own = np.arange(n)
        leaf = self.feature == -1
        if any(len(getattr(self, name)) != n for name in self.ARRAYS if name not in self.OF_TREES):
            return "its arrays differ in length"
        if not len(self.roots) or len(self.member) != len(self.roots):
            return "its arrays differ in length"
        if self.member[0] != 0 or not np.isin(np.diff(self.member), (0, 1)).all():
            return "its members are not in order"
        if ((self.feature < -1) | (self.feature >= n_features)).any():
            return "a node looks at a feature that does not exist"
        children = np.concatenate([self.left, self.right])
        if ((children < 0) | (children >= n)).any() or ((self.roots < 0) | (self.roots >= n)).any():
            return "a node points outside the tree"
        if (self.left[~leaf] <= own[~leaf]).any() or (self.right[~leaf] <= own[~leaf]).any():
            return "a child comes before its parent"
        if (np.diff(self.roots) <= 0).any():
            return "its roots are not in order"
        parents = np.bincount(np.concatenate([self.left[~leaf], self.right[~leaf], self.roots]), minlength=n)
        if (parents != 1).any():
            return "a node has no parent, or more than one"
        if (self.left[leaf] != own[leaf]).any() or (self.right[leaf] != own[leaf]).any():
            return "a leaf does not point to itself"
        tree = np.searchsorted(self.roots, own, side="right")
        if (tree[self.left] != tree).any() or (tree[self.right] != tree).any():
            return "a tree has nodes among those of another"
        if self._is_deep():
            return f"a tree is deeper than {MAX_DEPTH}"
        if not (np.isfinite(self.threshold).all() and np.isfinite(self.value).all()):
            return "a threshold or a leaf value is not finite"
        return None

    def _is_deep(self) -> bool:
        level = self.roots
        for _ in range(MAX_DEPTH + 1):
            level = level[self.feature[level] >= 0]
            if not len(level):
                return False
            level = np.concatenate([self.left[level], self.right[level]])
        return True
