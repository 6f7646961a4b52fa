"""The optimal assignment as a flow of least cost between few nodes.

Each patient supplies one unit, which goes through a cell (group and arm) and an arm to the sink. Patients
are no nodes: a move between two cells costs the smallest loss of a patient who is in the first and may be in
the second. Starting from the best arm of each patient at given prices, which is optimal for the numbers of
patients that it happens to place, units are sent along shortest paths from where there are too many to where
there are too few. Each step keeps the assignment optimal, so that the first one that respects all limits is
an optimum, and it is made of whole patients.

The shortest paths of the last graph are the prices of the limits: one place more or less changes the optimum
by the length of one path.

References
----------
Ahuja, Magnanti & Orlin (1993), Network Flows, sections 9.7 (successive shortest paths) and 9.2 (optimality
conditions).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
NEVER = np.int64(2**61)  # cost of what is impossible; twice this still fits an integer of 64 bits
_SWEEPS = 30  # of the search for prices: a better start, not a condition of the result


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a flow; the last arm is waiting.

    `cell_lower`, `cell_upper`: shape (n_groups, n_arms); `lower`, `upper`: shape (n_arms,).
    """

    cell_lower: IntArray
    cell_upper: IntArray
    lower: IntArray
    upper: IntArray


class Flow:
    """An assignment and the graph of the moves that remain possible.

    Parameters
    ----------
    scores : ndarray of int of shape (n_patients, n_arms)
        What each patient gains; below ``-NEVER / 2`` where an arm is not allowed.
    groups : ndarray of int of shape (n_patients,)
    limits : Limits
    """

    def __init__(self, scores: IntArray, groups: IntArray, limits: Limits) -> None:
        self.scores, self.groups, self.limits = scores, groups, limits
        self.n_groups, self.n_arms = limits.cell_lower.shape
        prices = starting_prices(scores, limits)
        self.arm = np.asarray((scores - prices).argmax(axis=1), dtype=np.int64)
        self.n_cells = self.n_groups * self.n_arms
        self.sink = self.n_cells + self.n_arms
        self._start(prices)

    @property
    def cell(self) -> IntArray:
        """The cell of each patient."""
        return np.asarray(self.groups * self.n_arms + self.arm, dtype=np.int64)

    def _start(self, prices: IntArray) -> None:
        limits, n = self.limits, len(self.scores)
        counts = np.bincount(self.cell, minlength=self.n_cells).reshape(self.n_groups, self.n_arms)
        self.through = np.clip(counts, limits.cell_lower, limits.cell_upper).astype(np.int64)
        inflow = self.through.sum(axis=0)
        # at a positive price an arm is full, at a negative one it has its minimum (complementary slackness)
        placed = np.where(
            prices > 0,
            limits.upper,
            np.where(prices < 0, limits.lower, np.clip(inflow, limits.lower, limits.upper)),
        )
        self.placed = placed.astype(np.int64)
        ends = [(counts - self.through).ravel(), inflow - self.placed, [self.placed.sum() - n]]
        self.excess = np.concatenate(ends).astype(np.int64)
        self.costs = np.full((self.sink + 1, self.sink + 1), NEVER)
        self.mover = np.full((self.n_cells, self.n_arms), -1)
        for cell in range(self.n_cells):
            self._update_moves(cell)
            self._update_cell(cell)
        for arm in range(self.n_arms):
            self._update_arm(arm)

    def _update_moves(self, cell: int) -> None:
        """Set the cost of leaving a cell for each other one of the group, and who would leave."""
        group, arm = divmod(cell, self.n_arms)
        row = self.costs[cell, group * self.n_arms : (group + 1) * self.n_arms]
        row[:] = NEVER
        members = np.flatnonzero((self.arm == arm) & (self.groups == group))
        if len(members):
            losses = self.scores[members, arm][:, None] - self.scores[members]
            first = losses.argmin(axis=0)
            least = losses[first, np.arange(self.n_arms)]
            self.mover[cell] = members[first]
            row[:] = np.where(least > NEVER // 4, NEVER, least)
            row[arm] = NEVER

    def _update_cell(self, cell: int) -> None:
        group, arm = divmod(cell, self.n_arms)
        node, flow = self.n_cells + arm, self.through[group, arm]
        self.costs[cell, node] = 0 if flow < self.limits.cell_upper[group, arm] else NEVER
        self.costs[node, cell] = 0 if flow > self.limits.cell_lower[group, arm] else NEVER

    def _update_arm(self, arm: int) -> None:
        node, flow = self.n_cells + arm, self.placed[arm]
        self.costs[node, self.sink] = 0 if flow < self.limits.upper[arm] else NEVER
        self.costs[self.sink, node] = 0 if flow > self.limits.lower[arm] else NEVER

    def solve(self) -> bool:
        """Move patients until all limits hold; return whether this is possible."""
        while (self.excess > 0).any():
            path = self._shortest_path()
            if path is None:
                return False
            self._send(path)
        return True

    def _shortest_path(self) -> list[int] | None:
        """Return the shortest path from a node with too many units to one with too few (Bellman-Ford)."""
        lengths = np.where(self.excess > 0, np.int64(0), NEVER)
        before = np.full(len(lengths), -1)
        for _ in range(len(lengths)):
            via = lengths[:, None] + self.costs
            nearest = via.argmin(axis=0)
            found = via[nearest, np.arange(len(lengths))]
            shorter = (found < lengths) & (found < NEVER // 2)
            if not shorter.any():
                break
            before[shorter] = nearest[shorter]
            lengths = np.where(shorter, found, lengths)
        ends = np.flatnonzero(self.excess < 0)
        end = int(ends[lengths[ends].argmin()])
        if lengths[end] >= NEVER // 2:
            return None
        path = [end]
        while before[path[-1]] >= 0:
            path.append(int(before[path[-1]]))
        return path[::-1]

    def _send(self, path: list[int]) -> None:
        """Send one unit along a path."""
        changed = set()
        for start, end in pairwise(path):
            if start < self.n_cells and end < self.n_cells:
                self.arm[self.mover[start, end % self.n_arms]] = end % self.n_arms
                changed |= {start, end}
            elif self.sink in (start, end):
                arm = min(start, end) - self.n_cells
                self.placed[arm] += 1 if end == self.sink else -1
                self._update_arm(arm)
            else:
                cell = min(start, end)
                self.through[divmod(cell, self.n_arms)] += 1 if start == cell else -1
                self._update_cell(cell)
        for cell in sorted(changed):
            self._update_moves(cell)
        self.excess[path[0]] -= 1
        self.excess[path[-1]] += 1

    def distances(self) -> IntArray:
        """Return the length of the shortest path between each two nodes (Floyd-Warshall)."""
        found: IntArray = self.costs.copy()
        np.fill_diagonal(found, 0)
        for node in range(len(found)):
            via = found[:, node, None] + found[None, node]
            np.minimum(found, np.where(via >= NEVER // 2, NEVER, via), out=found)
        if (np.diagonal(found) < 0).any():
            raise RuntimeError("The assignment is not optimal: a cycle of moves would improve it.")
        return found

    def losses_of_changes(self, distances: IntArray) -> IntArray:
        """Return what the best assignment loses if a patient has another arm, shape (n_patients, n_arms)."""
        between = distances[: self.n_cells, : self.n_cells].reshape(
            self.n_groups, self.n_arms, self.n_groups, self.n_arms
        )
        rows = np.arange(len(self.scores))
        back = between[self.groups, :, self.groups, self.arm]
        moves = self.scores[rows, self.arm][:, None] - self.scores
        possible = (moves < NEVER // 4) & (back < NEVER // 2)
        found = np.where(possible, moves + np.where(possible, back, 0), NEVER)
        found[rows, self.arm] = NEVER
        return np.asarray(found, dtype=np.int64)


def starting_prices(scores: IntArray, limits: Limits) -> IntArray:
    """Return prices at which about as many patients prefer each arm as there are places.

    Each price in turn is set to the value at which the number fits, given the other prices: coordinate
    descent on the dual, which is convex and piecewise linear. It need not reach the optimum.
    """
    by_arm = np.ascontiguousarray(scores.T)
    n_arms, n = by_arm.shape
    prices = np.zeros(n_arms, dtype=np.int64)
    scarce = limits.upper < n
    for _ in range(_SWEEPS):
        before = prices.copy()
        prices[scarce] += _common_rise(by_arm - prices[:, None], scarce, int(limits.upper[scarce].sum()))
        for arm in range(n_arms):
            if limits.upper[arm] >= n and not limits.lower[arm]:
                continue
            net = by_arm - prices[:, None]
            net[arm] = -NEVER
            margins = by_arm[arm] - net.max(axis=0)
            prices[arm] = _price(margins, int(limits.lower[arm]), int(limits.upper[arm]))
        if (prices == before).all():
            break
    return prices


def _common_rise(net: IntArray, scarce: npt.NDArray[np.bool_], places: int) -> int:
    """Return the rise of the prices of all scarce arms at which no more patients want them than have places.

    One price at a time rises by small steps only where patients find several scarce arms about equally good.
    """
    if not scarce.any() or scarce.all():
        return 0
    margins = net[scarce].max(axis=0) - net[~scarce].max(axis=0)
    return max(_price(margins, 0, places), 0)


def _price(margins: IntArray, lower: int, upper: int) -> int:
    """Return the price at which `lower` to `upper` patients prefer an arm by these margins; 0 if it does."""
    n, bound = len(margins), int(NEVER // 8)
    if upper < n:
        excluded = int(np.partition(margins, n - upper - 1)[n - upper - 1])
        if excluded > 0:
            return min(excluded, bound)
    if 0 < lower <= n:
        included = int(np.partition(margins, n - lower)[n - lower])
        if included < 0:
            return max(included, -bound)
    return 0
