"""Ordered levels of an outcome: the cumulative logit model, whose likelihood is that of binary outcomes.

A patient at level l has reached threshold l and missed threshold l + 1. With the logits of reaching them, the
probability of level l is

    expit(upper) - expit(lower) = expit(upper) (1 - expit(lower)) (1 - exp(-(upper - lower))),

so that each patient contributes two binary outcomes, one reached and one missed, and a factor of the distance
between the two thresholds, which does not depend on covariates (McCullagh 1980, J Royal Statistical Society B
42(2), 109-142). With two levels this is binary logistic regression.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from treatsel._checks import FloatArray, count_of
from treatsel.errors import InputError

# Levels on each side of the target. With k levels of equal size, a cumulative logit has the share 1 - 1 / k^2
# of the information of the score itself (Whitehead 1993, Statistics in Medicine 12(24), 2257-2271,
# doi:10.1002/sim.4780122404): 99 % with 12 levels.
MOST_PER_SIDE = 6
FEWEST_PATIENTS = 5  # of a level: a threshold between fewer would describe single patients
# Weight added to every level, as a share of all patients, that keeps neighboring thresholds apart where a
# fold has no patient between them.
APART = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Levels:
    """The thresholds between which each patient's outcome lies, among those of `n` levels, 0 to n - 1.

    `reached`: the highest threshold that a patient reached, 0 for none; `missed`: the lowest one missed, `n`
    for none. The two are neighbors if the level is known. `target`: the lowest level that is the event.

    The logit of reaching threshold m is the logit of the event plus threshold m, which is 0 for the target.
    The other `n_free` thresholds are estimated; they decrease with m.
    """

    reached: npt.NDArray[np.intp]
    missed: npt.NDArray[np.intp]
    n: int = 2
    target: int = 1

    @classmethod
    def binary(cls, y: FloatArray) -> "Levels":
        """Return the two levels of a 0/1 outcome."""
        reached = np.asarray(y, dtype=np.intp)
        return cls(reached, reached + 1)

    @classmethod
    def of_score(cls, score: FloatArray, y: FloatArray, weights: FloatArray) -> "Levels":
        """Return the levels of a score that is higher, the nearer a patient is to the event.

        The event is one boundary of the levels; the others are quantiles on each side of it. Where the score
        is not known (NaN), the outcome is.
        """
        return cls.between(*boundaries_of(score, y, weights), score, y)

    @classmethod
    def between(cls, below: FloatArray, above: FloatArray, score: FloatArray, y: FloatArray) -> "Levels":
        """Return the levels of a score between given boundaries, see `boundaries_of`."""
        known = ~np.isnan(score)
        n, target = len(below) + len(above) + 2, len(below) + 1
        reached = np.where(y == 1, target + np.searchsorted(above, score), np.searchsorted(below, score))
        missed = np.where(known, reached + 1, np.where(y == 1, n, target))
        reached = np.where(known, reached, np.where(y == 1, target, 0))
        return cls(reached.astype(np.intp), missed.astype(np.intp), n, target)

    @property
    def n_free(self) -> int:
        """Number of thresholds to be estimated."""
        return self.n - 2

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether the level of each patient is known, not only the outcome."""
        return np.asarray(self.missed == self.reached + 1)

    def means(self, score: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the mean score in each level, of the patients whose score is known."""
        known = self.known & ~np.isnan(score)
        sums = np.bincount(self.reached[known], (weights * score)[known], self.n)
        totals = np.bincount(self.reached[known], weights[known], self.n)
        return np.asarray(sums / np.maximum(totals, 1e-300))

    def among(self, rows: Any) -> "Levels":
        """Return the levels of some patients."""
        return Levels(self.reached[rows], self.missed[rows], self.n, self.target)

    def start(self, weights: FloatArray) -> FloatArray:
        """Return the free thresholds of a model without covariates."""
        known = self.known
        counts = np.bincount(self.reached[known], weights[known], self.n) + APART * weights.sum()
        reached = counts[::-1].cumsum()[::-1][1:] / counts.sum()
        logits = np.log(reached / (1 - reached))
        return np.asarray(np.delete(logits - logits[self.target - 1], self.target - 1))

    def thresholds(self, free: FloatArray) -> FloatArray:
        """Return all thresholds, shape (n + 1,): infinite for level 0 and above the highest level."""
        return np.concatenate([[np.inf], np.insert(free, self.target - 1, 0.0), [-np.inf]])


def boundaries_of(
    score: FloatArray, y: FloatArray, weights: FloatArray, patients: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the boundaries of the levels of a score without, and with, the event.

    `patients`: number of patients of each row; None: one.

    Raises
    ------
    InputError
        If the score contradicts the outcome.
    """
    patients, known = np.ones(len(y)) if patients is None else patients, ~np.isnan(score)
    lowest = float(np.min(score[(y == 1) & known], initial=np.inf))
    if n := int(patients[(y == 0) & (score >= lowest)].sum()):
        raise InputError(
            f"score contradicts y in {count_of(n, 'patient')} with y = 0: their score is not below those of "
            "all patients with y = 1. Reverse its sign, or derive y from the score."
        )
    sides = [known & (y == event) for event in (0, 1)]
    below, above = (_boundaries(score[side], weights[side], patients[side]) for side in sides)
    return below, above


def _boundaries(score: FloatArray, weights: FloatArray, patients: FloatArray) -> FloatArray:
    """Return the highest score of each level but the last; the levels have about equal weight."""
    n_levels = min(MOST_PER_SIDE, int(patients.sum()) // FEWEST_PATIENTS)
    if n_levels < 2 or not weights.any():
        return np.empty(0)
    shares = np.arange(1, n_levels) / n_levels
    found = np.unique(np.quantile(score, shares, weights=weights, method="inverted_cdf"))
    kept: list[float] = []
    for value in found:
        since = kept[-1] if kept else -np.inf
        n_above = patients[score > value].sum()
        n_inside = patients[(score > since) & (score <= value)].sum()
        if min(n_inside, n_above) >= FEWEST_PATIENTS:
            kept.append(float(value))
    return np.array(kept)


@dataclass(frozen=True, eq=False, repr=False)
class Contributions:
    """Log-likelihood and derivatives of some patients at their logits of the event, `eta`.

    `fit`: the part of the log-likelihood that depends on the covariates.
    `reached`, `missed`: first derivatives with respect to the logits of the threshold that a patient reached
    (level 0: none) and of the one missed (highest level: none); `curve_reached`, `curve_missed`: minus the
    second derivatives.
    """

    eta: FloatArray
    levels: Levels
    thresholds: FloatArray
    weights: FloatArray
    fit: float
    reached: FloatArray
    missed: FloatArray
    curve_reached: FloatArray
    curve_missed: FloatArray

    @classmethod
    def at(
        cls, eta: FloatArray, levels: Levels, thresholds: FloatArray, weights: FloatArray
    ) -> "Contributions":
        """Return the contributions at the logits `eta` of the event."""
        upper, lower = eta + thresholds[levels.reached], eta + thresholds[levels.missed]
        p, q = expit(upper), expit(lower)
        fit = -float(weights @ (np.logaddexp(0.0, -upper) + np.logaddexp(0.0, lower)))
        return cls(
            eta, levels, thresholds, weights, fit, weights * (1 - p), -weights * q,
            weights * p * (1 - p), weights * q * (1 - q),
        )  # fmt: skip

    @property
    def loglik(self) -> float:
        """Log-likelihood; minus infinity if thresholds cross."""
        if not self.levels.n_free:
            return self.fit
        gaps = -np.diff(self.thresholds[1:-1])
        if (gaps <= 0).any():
            return -np.inf
        return self.fit + float(_between(self.levels, self.weights) @ np.log(-np.expm1(-gaps)))

    @property
    def residual(self) -> FloatArray:
        """First derivatives with respect to the logit of the event, shape (n_patients,)."""
        return self.reached + self.missed

    @property
    def curve(self) -> FloatArray:
        """Minus the second derivatives with respect to the logit of the event, shape (n_patients,)."""
        return self.curve_reached + self.curve_missed

    def among(self, rows: npt.NDArray[np.intp]) -> "Contributions":
        """Return the derivatives of some patients."""
        return Contributions(
            self.eta[rows], self.levels.among(rows), self.thresholds, self.weights[rows], self.fit,
            self.reached[rows], self.missed[rows], self.curve_reached[rows], self.curve_missed[rows],
        )  # fmt: skip

    @property
    def _free(self) -> npt.NDArray[np.intp]:
        """Positions of the free thresholds among all."""
        return np.delete(np.arange(1, self.levels.n), self.levels.target - 1)

    def threshold_gradient(self) -> FloatArray:
        """Return the first derivatives with respect to the free thresholds, shape (n_free,)."""
        levels, n = self.levels, self.levels.n
        total = np.bincount(levels.reached, self.reached, n + 1)
        total += np.bincount(levels.missed, self.missed, n + 1)
        slope = self._gap_slopes()
        push = _between(self.levels, self.weights) * slope
        total = total + np.concatenate([[0.0], push, [0.0, 0.0]]) - np.concatenate([[0.0, 0.0], push, [0.0]])
        return np.asarray(total[self._free])

    def threshold_hessian(self) -> FloatArray:
        """Return minus the second derivatives with respect to them, shape (n_free, n_free)."""
        levels, n = self.levels, self.levels.n
        curve = np.bincount(levels.reached, self.curve_reached, n + 1)
        total = np.diag(curve + np.bincount(levels.missed, self.curve_missed, n + 1))
        slope = self._gap_slopes()
        bend = _between(self.levels, self.weights) * slope * (1 + slope)
        upper, lower = np.arange(1, n - 1), np.arange(2, n)
        for i, j, sign in ((upper, upper, 1), (lower, lower, 1), (upper, lower, -1), (lower, upper, -1)):
            total[i, j] += sign * bend
        return np.asarray(total[np.ix_(self._free, self._free)])

    def curve_by_threshold(self) -> csr_array:
        """Return each patient's curvature at the free thresholds, shape (n_free, n_patients)."""
        levels, n = self.levels, len(self.eta)
        number = np.full(levels.n + 1, -1)
        number[self._free] = np.arange(levels.n_free)
        row = np.concatenate([number[levels.reached], number[levels.missed]])
        curve, used = np.concatenate([self.curve_reached, self.curve_missed]), row >= 0
        where = (row[used], np.tile(np.arange(n), 2)[used])
        return csr_array((curve[used], where), shape=(levels.n_free, n))

    def _gap_slopes(self) -> FloatArray:
        """Return the derivative of log(1 - exp(-gap)) for each pair of neighboring thresholds."""
        gaps = np.maximum(-np.diff(self.thresholds[1:-1]), 1e-8)
        return np.asarray(1 / np.expm1(gaps))


def _between(levels: Levels, weights: FloatArray) -> FloatArray:
    """Return the weight of patients between neighboring thresholds, shape (n - 2,)."""
    known = levels.known
    counts = np.bincount(levels.reached[known], weights[known], levels.n)[1:-1]
    return np.asarray(counts + APART * weights.sum())
