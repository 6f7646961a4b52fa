"""Exact search for the best tree of one or two levels, over sums of scores as whole numbers.

For every first split the best tree of one level on both of its sides is found from prefix sums of the scores
by arm, in O(p n K). A branch and bound leaves out first splits that cannot be best: if patients change the
side, the value changes by no more than the sum of the ranges of their scores.

References
----------
Zhou, Athey & Wager (2023), Operations Research 71(1), 148-183. doi:10.1287/opre.2022.2271
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from treatsel._checks import ROUNDING, FloatArray
from treatsel.tree import _kernel

NONE = -(2**61)  # value where no tree has enough patients in each leaf
_ROOM = 2.0**59  # sums of scores stay below, so that int64 is exact


class Split(NamedTuple):
    """A first split: number of the feature, highest code of the first side, and the value."""

    feature: int
    code: int
    value: int


class Sums(NamedTuple):
    """Scores as whole numbers, and the difference of two sums that is no difference."""

    scores: np.ndarray
    tolerance: int


def whole_scores(scores: FloatArray) -> Sums:
    """Return scores in units so small that rounding does not matter; sums do not depend on the row order.

    Two trees are tied if their mean scores differ by no more than rounding.
    """
    n, largest = len(scores), float(np.abs(scores).max(initial=0.0)) or 1.0
    unit = n * largest / _ROOM
    return Sums(np.rint(scores / unit).astype(np.int64), int(n + ROUNDING * largest * n / unit))


class Patients:
    """The patients of one node, with their features sorted for prefix sums."""

    def __init__(self, codes: np.ndarray, scores: np.ndarray, *, min_leaf: int, tolerance: int) -> None:
        self.codes, self.scores = codes, scores  # shapes (n_features, n), (n, n_arms)
        self.min_leaf, self.tolerance = min_leaf, tolerance
        self.order = np.argsort(codes, axis=1, kind="stable")
        ranked = np.take_along_axis(codes, self.order, axis=1)
        self.edge = np.zeros(codes.shape, dtype=bool)  # after this patient a split is possible
        self.edge[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
        self.total = scores.sum(axis=0)

    def part(self, rows: np.ndarray) -> "Patients":
        """Return some of the patients."""
        return Patients(
            self.codes[:, rows], self.scores[rows], min_leaf=self.min_leaf, tolerance=self.tolerance
        )

    @property
    def leaf_value(self) -> int:
        """Sum of the scores if all receive the best arm."""
        return int(self.total.max())

    def best_split(self, keys: Sequence[Callable[[int], Any]], levels: int) -> Split | None:
        """Return the first split of the best tree with one or two levels; None if fewer do as well."""
        found = self._one_level() if levels == 1 else self._two_levels()
        if not found:
            return None
        best = max(split.value for split in found)
        tied = [split for split in found if split.value >= best - self.tolerance]
        return min(tied, key=lambda split: keys[split.feature](split.code))

    def _one_level(self) -> list[Split]:
        """Return the splits that are better than a leaf, and within the tolerance of the best."""
        value, allowed = self._split_values()
        value = np.where(allowed, value, NONE)
        least = max(self.leaf_value + self.tolerance + 1, int(value.max(initial=NONE)) - self.tolerance)
        places = np.argwhere(value >= least)
        return [self._split_at(feature, place, int(value[feature, place])) for feature, place in places]

    def _split_at(self, feature: int, place: int, value: int) -> Split:
        return Split(int(feature), int(self.codes[feature, self.order[feature, place]]), value)

    def _split_values(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the value of each split with a leaf on both sides, and where both have enough patients."""
        sums = self.scores.T[:, self.order].cumsum(axis=2)
        value = sums.max(axis=0) + (self.total[:, None, None] - sums).max(axis=0)
        n = np.arange(1, self.codes.shape[1] + 1)
        enough = (n >= self.min_leaf) & (n[-1] - n >= self.min_leaf)
        return value, self.edge & enough

    def _two_levels(self) -> list[Split]:
        """Return the first splits that are better than any tree of one level, and near the best."""
        spread = self.scores.max(axis=1) - self.scores.min(axis=1)
        moved = spread[self.order].cumsum(axis=1)  # range of the scores of all patients up to this one
        sides = _kernel.Sides(self.order, self.edge, self.scores, self.min_leaf)
        one_level, bound = sides.values(np.ones(self.codes.shape[1], dtype=bool))[0]
        limit = np.where(self.edge, bound + np.minimum(moved, moved[:, -1:] - moved), NONE)
        found: list[Split] = []
        best = one_level
        while True:
            at = int(limit.argmax())
            feature, place = divmod(at, limit.shape[1])
            if limit[feature, place] < max(best - self.tolerance, one_level + self.tolerance + 1):
                return [split for split in found if split.value >= best - self.tolerance]
            first = np.zeros(self.codes.shape[1], dtype=bool)
            first[self.order[feature, : place + 1]] = True
            (left, left_bound), (right, right_bound) = sides.values(first)
            value = NONE if NONE in (left, right) else left + right
            if value > one_level + self.tolerance:
                found.append(self._split_at(feature, place, value))
                best = max(best, value)
            near = left_bound + right_bound + np.abs(moved[feature] - moved[feature, place])
            np.minimum(limit[feature], near, out=limit[feature])
            limit[feature, place] = NONE
