"""Best trees of one level on both sides of a split: the inner loop of the search, compiled if worthwhile."""

import numpy as np

from treatsel.additive import compiled_form, is_available

_NONE = -(2**61)
_WORTH_COMPILING = 5_000  # patients times features: below, the search ends before a kernel is loaded

Value = tuple[int, int]  # of the best tree with enough patients per leaf, and of the best tree at all


class Sides:
    """Values of the best trees of one level on both sides of a split of the same patients."""

    def __init__(self, order: np.ndarray, edge: np.ndarray, scores: np.ndarray, min_leaf: int) -> None:
        self._order, self._edge, self._scores, self._min_leaf = order, edge, scores, min_leaf
        self._compiled = order.size > _WORTH_COMPILING and is_available()
        if not self._compiled:
            self._places = np.flatnonzero(edge)
            self._by_arm = np.ascontiguousarray(scores.T[:, order])
            self._sums = self._by_arm.cumsum(axis=2)

    def values(self, first: np.ndarray) -> tuple[Value, Value]:
        """Return the values of the patients where `first` holds, and of the others."""
        total = np.array([self._scores[first].sum(axis=0), self._scores[~first].sum(axis=0)])
        count = np.array([first.sum(), (~first).sum()])
        best = np.array([[total[0].max()] * 2, [total[1].max()] * 2])
        best[count < self._min_leaf, 0] = _NONE
        if self._compiled:
            compiled_form(_sweep)(
                self._order, self._edge, self._scores, self._min_leaf, first, total, count, best
            )
        else:
            self._sweep(first, total, count, best)
        return (int(best[0, 0]), int(best[0, 1])), (int(best[1, 0]), int(best[1, 1]))

    def _sweep(self, first: np.ndarray, total: np.ndarray, count: np.ndarray, best: np.ndarray) -> None:
        if not len(self._places):
            return
        mine = first[self._order]
        shape = (self._scores.shape[1], -1)
        own = (self._by_arm * mine).cumsum(axis=2).reshape(shape)[:, self._places]
        every = self._sums.reshape(shape)[:, self._places]
        n_own = mine.cumsum(axis=1).ravel()[self._places]
        n_every = self._places % self._order.shape[1] + 1
        for side, sums, n in ((0, own, n_own), (1, every - own, n_every - n_own)):
            value = sums.max(axis=0) + (total[side][:, None] - sums).max(axis=0)
            best[side, 1] = max(best[side, 1], value.max())
            enough = (n >= self._min_leaf) & (count[side] - n >= self._min_leaf)
            if enough.any():
                best[side, 0] = max(best[side, 0], value[enough].max())


def _sweep(order, edge, scores, min_leaf, first, total, count, best):  # type: ignore[no-untyped-def] # numba
    n_features, n = order.shape
    n_arms = scores.shape[1]
    sums, reached, changed = np.zeros_like(total), np.zeros_like(count), np.zeros(2, dtype=np.bool_)
    for j in range(n_features):
        sums[:] = 0
        reached[:] = 0
        changed[:] = False
        for i in range(n):
            row = order[j, i]
            side = 0 if first[row] else 1
            for a in range(n_arms):
                sums[side, a] += scores[row, a]
            reached[side] += 1
            changed[side] = True
            if edge[j, i]:
                for s in range(2):
                    if changed[s]:
                        changed[s] = False
                        low = sums[s, 0]
                        high = total[s, 0] - sums[s, 0]
                        for a in range(1, n_arms):
                            low = max(low, sums[s, a])
                            high = max(high, total[s, a] - sums[s, a])
                        value = low + high
                        if value > best[s, 1]:
                            best[s, 1] = value
                        least = min(reached[s], count[s] - reached[s])
                        if value > best[s, 0] and least >= min_leaf:
                            best[s, 0] = value
