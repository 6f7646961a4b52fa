"""Ranks of arms in many draws at once; arms with equal values share their ranks, whatever their order."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from treatsel._checks import ROUNDING, FloatArray

Counts = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Standings:
    """How arms stand in draws, each with a mass.

    Attributes
    ----------
    better, tied : ndarray of shape (n_arms, n_draws)
        Number of other arms with a higher value, and with the same value.
    mass : ndarray of shape (n_draws,) or None
        Probability of each draw; None: all are equally likely.
    pairwise : ndarray of shape (n_arms, n_arms)
        Probability that the arm of the row has a higher value than that of the column.
    """

    better: Counts
    tied: Counts | None
    mass: FloatArray | None
    pairwise: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Return the mean over the draws, along the last axis."""
        return np.asarray(values.mean(axis=-1) if self.mass is None else values @ self.mass)

    def first(self) -> FloatArray:
        """Return the share of each arm in the first rank of each draw, shape (n_arms, n_draws)."""
        first = (self.better == 0).astype(np.float64)
        return first if self.tied is None else np.asarray(first / (self.tied + 1))

    def at_rank(self, rank: int) -> FloatArray:
        """Return the share of each arm in a rank (0: first) of each draw, shape (n_arms, n_draws)."""
        if self.tied is None:
            return np.asarray(self.better == rank, dtype=np.float64)
        within = (self.better <= rank) & (rank <= self.better + self.tied)
        return np.asarray(within / (self.tied + 1.0))

    def acceptability(self) -> FloatArray:
        """Return the probability of each rank, shape (n_arms, n_ranks)."""
        n_arms, n = self.better.shape
        if self.tied is not None:
            return np.stack([self.mean(self.at_rank(rank)) for rank in range(n_arms)], axis=1)
        if self.mass is None:  # counts are exact
            return np.stack([np.bincount(row, minlength=n_arms) / n for row in self.better])
        return np.stack([np.bincount(row, weights=self.mass, minlength=n_arms) for row in self.better])

    def clustered(self, n_clusters: int) -> FloatArray:
        """Return the share of ranks in each cluster of draws, shape (n_arms, n_ranks, n_clusters).

        Draw t belongs to cluster t modulo n_clusters.
        """
        n_arms, n = self.better.shape
        tiles = n // n_clusters
        if self.tied is not None:
            ranks = [self.at_rank(rank).reshape(n_arms, tiles, n_clusters) for rank in range(n_arms)]
            return np.stack([rank.mean(axis=1) for rank in ranks], axis=1)
        cluster = np.tile(np.arange(n_clusters), tiles)
        size = n_arms * n_clusters
        counts = [np.bincount(row * np.int64(n_clusters) + cluster, minlength=size) for row in self.better]
        return np.asarray(np.stack(counts).reshape(n_arms, n_arms, n_clusters) / tiles)

    def entropy_of_ranking(self) -> float:
        """Return the entropy of the ranking in bits; rankings with other ties count as different."""
        n_arms = len(self.better)
        if n_arms > 15:  # the code below would not fit into 64 bits
            return float("nan")
        codes = (n_arms ** np.arange(n_arms, dtype=np.int64)) @ self.better.astype(np.int64)
        if n_arms**n_arms > 10**5:  # too many for a table of all codes
            codes = np.unique(codes, return_inverse=True)[1]
        mass = np.bincount(codes, weights=self.mass).astype(float)
        return entropy(mass / mass.sum())


def standings_of(values: FloatArray, mass: FloatArray | None = None) -> Standings:
    """Return how arms stand by values of shape (n_arms, n_draws); a mass must have the sum 1."""
    n_arms, n = values.shape
    better = np.zeros((n_arms, n), dtype=np.int16)
    tied: Counts | None = None
    pairwise = np.zeros((n_arms, n_arms))
    for i, j in combinations(range(n_arms), 2):
        difference = values[i] - values[j]
        over, under = difference > ROUNDING, difference < -ROUNDING
        better[j] += over
        better[i] += under
        if mass is None:
            n_over, n_under = np.count_nonzero(over), np.count_nonzero(under)
            pairwise[i, j], pairwise[j, i] = n_over / n, n_under / n
            equal = n_over + n_under < n
        else:
            pairwise[i, j], pairwise[j, i] = mass[over].sum(), mass[under].sum()
            equal = not (over | under).all()
        if equal:
            tied = np.zeros((n_arms, n), dtype=np.int16) if tied is None else tied
            tied[[i, j]] += ~(over | under)
    return Standings(better, tied, mass, pairwise)


def entropy(probabilities: FloatArray) -> float:
    """Return the entropy of a distribution in bits."""
    positive = probabilities[probabilities > 0]
    return float(max(0.0, -(positive * np.log2(positive)).sum()))
