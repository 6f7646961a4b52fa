"""Boosted trees as flat arrays, and the checks of their structure.

A node is an entry in each of six arrays; children come after their parents; a leaf points to itself. The
branch that a missing value takes is determined once, when the trees are read: `missing_left`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray

MAX_DEPTH = 256  # bounds the number of steps needed to score a tree from an untrusted file


@dataclass(frozen=True, eq=False, repr=False)
class Trees:
    """Ensembles of trees, one after the other; the score of an ensemble is the sum of its leaf values.

    Attributes
    ----------
    feature : ndarray of shape (n_nodes,), int32
        Column of the matrix on which an inner node splits; -1 for a leaf.
    threshold : ndarray of shape (n_nodes,), float64
        Values up to and including the threshold go left.
    left, right : ndarray of shape (n_nodes,), int32
        Children, always after their parent; a leaf points to itself.
    missing_left : ndarray of shape (n_nodes,), bool
        Whether a missing value goes left.
    value : ndarray of shape (n_nodes,), float64
        Contribution of a leaf to the logit; 0 for inner nodes.
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
        """Concatenate ensembles; their members are kept separate."""
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
        """Exclude cached bit vectors from copies and pickles; they are computed again when needed."""
        return {part: getattr(self, part) for part in self.ARRAYS}

    @property
    def n_members(self) -> int:
        """Number of ensembles."""
        return int(self.member[-1]) + 1

    def renumbered(self, columns: npt.NDArray[np.intp]) -> "Trees":
        """Return the trees with feature j renumbered to `columns[j]`."""
        feature = np.where(self.feature >= 0, columns[self.feature], -1).astype(np.int32)
        return replace(self, feature=feature)

    def resolved(self, column: int, value: float) -> "Trees":
        """Return the trees of a matrix without a column, whose value is known.

        A split on the column becomes one that every value passes on the same side.
        """
        splits, goes_left = self.feature == column, value <= self.threshold
        farthest = np.finfo(np.float64).max
        feature = np.where(self.feature > column, self.feature - 1, self.feature)
        return replace(
            self,
            feature=np.where(splits, 0, feature).astype(np.int32),
            threshold=np.where(splits, np.where(goes_left, farthest, -farthest), self.threshold),
            missing_left=np.where(splits, goes_left, self.missing_left),
        )

    def weighted(self, weights: FloatArray) -> "Trees | None":
        """Return the weighted sum of the ensembles as one ensemble; None if all weights are 0."""
        kept = np.flatnonzero(weights[self.member] != 0)
        if not len(kept):
            return None
        ends = np.append(self.roots[1:], len(self.feature))
        of_node = np.repeat(weights[self.member], ends - self.roots)
        inside = np.repeat(weights[self.member] != 0, ends - self.roots)
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

    def problem(self, n_features: int) -> str | None:
        """Return what is wrong with the structure, or None. Scoring a valid structure always terminates."""
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
            return "a node splits on a feature that does not exist"
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
            return "the nodes of different trees are mixed"
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
