"""The set of weights that statements allow: vertices, share, centroid, extremes and draws."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel.errors import InputError
from treatsel.preference._hit_and_run import hit_and_run
from treatsel.preference._polytope import (
    Polytope,
    Simplices,
    TooComplexError,
    all_weights,
    cut,
    single_point,
    triangulate,
)
from treatsel.preference._statements import Statement

Part = TypeVar("Part", Polytope, Simplices)


class WeightSet:
    """All weights w >= 0 with the sum 1 that satisfy linear statements, {A w <= b}.

    The set is triangulated, which makes its geometry exact: always for one ordering, and for up to 6 criteria
    with any usual statements. If this needs too many simplices, `exact` is False: there are draws (by
    hit-and-run) and extremes (by linear programming), but no vertices, share and centroid.

    Parameters
    ----------
    criteria : sequence of str
        Order of the weights in all results. It changes nothing else: calculations and draws are made in the
        order of the names.
    statements : sequence of Statement
        What is known about the weights; they must not contradict each other.
    fixed : sequence of float, optional
        The weights, if they are known; `statements` are then not used.
    """

    def __init__(
        self,
        criteria: Sequence[str],
        statements: Sequence[Statement],
        *,
        fixed: Sequence[float] | None = None,
    ) -> None:
        self.criteria = tuple(criteria)
        self._names = sorted(self.criteria)
        self._back = [self._names.index(name) for name in self.criteria]
        # equalities first: each lowers the dimension of what is left to cut
        ordered = sorted(statements, key=lambda one: (not one.equal, sorted(one.terms), one.bound))
        self._rows = [(self._row(one), one.bound, one.equal) for one in ordered]
        self._fixed = fixed

    def _row(self, statement: Statement) -> FloatArray:
        row = np.zeros(len(self._names))
        for name, coefficient in statement.terms:
            row[self._names.index(name)] += coefficient
        return row

    @lazy
    def _polytope(self) -> Polytope | None:
        """The set, with its weights in the order of the names; None if it has too many vertices."""
        if self._fixed is not None:
            weights = dict(zip(self.criteria, self._fixed, strict=True))
            return single_point(np.array([weights[name] for name in self._names]))
        found = all_weights(len(self._names))
        try:
            for row, bound, equal in self._rows:
                below, _, on = cut(found, row, bound)
                found = on if equal else below
        except TooComplexError:
            return None
        if found.dimension < 0:
            raise InputError("The statements about weights contradict each other. Change one of them.")
        return found

    @lazy
    def _simplices(self) -> Simplices | None:
        try:
            return None if self._polytope is None else triangulate(self._polytope)
        except TooComplexError:
            return None

    def _known(self, part: Part | None) -> Part:
        if part is None:
            raise InputError(
                f"The weights of {len(self.criteria)} criteria under {len(self._rows)} statements form a set "
                "that is too complex for exact geometry. Use smaa, which draws from it, or leave out "
                "criteria."
            )
        return part

    @property
    def exact(self) -> bool:
        """Whether vertices, share and centroid of the set are known."""
        return self._simplices is not None

    @property
    def polytope(self) -> Polytope:
        """The set, in the order of `criteria`."""
        found = self._known(self._polytope)
        return Polytope(found.points[:, self._back], found.tight, found.dimension)

    @property
    def is_point(self) -> bool:
        """Whether the weights are known."""
        return self._polytope is not None and self._polytope.dimension == 0

    @lazy
    def share(self) -> float:
        """Share of all weights that satisfies the statements; 0 if an equality holds."""
        simplices = self._known(self._simplices)
        return float(simplices.volumes.sum()) if self.polytope.dimension == len(self.criteria) - 1 else 0.0

    @lazy
    def centroid(self) -> FloatArray:
        """Mean of the weights if all in the set are equally likely."""
        mean = (
            self._known(self._polytope).points[0] if self.is_point else self._known(self._simplices).centroid
        )
        return np.asarray(mean[self._back])

    @lazy
    def vertices(self) -> FloatArray:
        """Extreme points of the set, one per row, in lexicographic order."""
        points = self.polytope.points
        return np.asarray(points[np.lexsort(np.round(points, 9).T[::-1])])

    def smallest(self, directions: FloatArray) -> FloatArray:
        """Return the smallest value of weights @ direction, for each row of `directions`."""
        directions = np.atleast_2d(directions)
        if self._polytope is not None:
            return np.asarray((self.polytope.points @ directions.T).min(axis=0))
        inverse = np.argsort(self._back)
        return np.array([self._programme(row[inverse]) for row in directions])

    def largest_minimum(self, directions: FloatArray) -> float:
        """Return the largest value, over the weights, of the minimum of weights @ direction over all rows."""
        if self.is_point:
            return float((directions @ self.polytope.points[0]).min())
        inverse, n = np.argsort(self._back), len(directions)
        # the last unknown is the minimum
        extra = np.column_stack([-directions[:, inverse], np.ones(n)])
        return -self._programme(np.zeros(len(self._names)), extra)

    def _programme(self, objective: FloatArray, extra: FloatArray | None = None) -> float:
        """Return the minimum of a linear objective; with `extra` rows, that of minus their last unknown."""
        from scipy.optimize import linprog

        k, n_extra = len(self._names), 0 if extra is None else len(extra)
        upper = np.zeros((sum(not equal for *_, equal in self._rows) + n_extra, k + 1))
        level = np.zeros((sum(equal for *_, equal in self._rows) + 1, k + 1))
        level[-1, :k] = 1.0
        b_upper, b_level = np.zeros(len(upper)), np.ones(len(level))
        for table, bounds, kind in ((upper, b_upper, False), (level, b_level, True)):
            chosen = [(row, bound) for row, bound, equal in self._rows if equal is kind]
            for i, (row, bound) in enumerate(chosen):
                table[i, :k], bounds[i] = row, bound
        if extra is not None:
            upper[len(upper) - n_extra :] = extra
        cost = np.append(objective, 0.0 if extra is None else -1.0)
        limits = [(0, 1)] * k + [(None, None) if n_extra else (0, 0)]
        found = linprog(cost, A_ub=upper, b_ub=b_upper, A_eq=level, b_eq=b_level, bounds=limits)
        return float(found.fun)

    def sample(self, n: int, random_state: Any = 0) -> FloatArray:
        """Return independent draws, uniform on the set, as an array of shape (n, n_criteria).

        If the set is not triangulated, draws come from Markov chains (hit-and-run) and are uniform
        approximately.
        """
        random = np.random.default_rng(random_state)
        if self._simplices is None:
            return np.asarray(hit_and_run(self._rows, len(self._names), n, random)[:, self._back])
        return np.asarray(_uniform(self._simplices, n, random)[self._back].T)


def _uniform(found: Simplices, n: int, random: np.random.Generator) -> FloatArray:
    """Return draws from a triangulated set as an array of shape (n_criteria, n).

    A simplex is drawn by its volume, and a point in it by exponential variables divided by their sum.
    """
    shares = random.standard_exponential((found.corners.shape[1], n))
    shares /= shares.sum(axis=0)
    if len(found.corners) == 1:
        return np.asarray(found.corners[0].T @ shares)
    volumes = found.volumes.cumsum()
    chosen = np.searchsorted(volumes, random.random(n) * volumes[-1], side="right")
    chosen = np.minimum(chosen, len(volumes) - 1)  # the last sum may be rounded down
    drawn = np.zeros((found.corners.shape[2], n))
    corners = np.ascontiguousarray(found.corners.transpose(1, 2, 0))
    for share, corner in zip(shares, corners, strict=True):
        drawn += np.take(corner, chosen, axis=1, mode="clip") * share  # "clip" skips a check that takes time
    return drawn
