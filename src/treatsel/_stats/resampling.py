"""Bootstrap resamples as vectors of weights, so that no patients are copied or sorted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._stats.intervals import Interval
from treatsel._stats.vectors import check_labels, codes_of
from treatsel.errors import InputError

# Patients (sum of weights) from which intervals of calibration errors are percentiles: the bias of resamples
# is then small beside the width, and the many simulations of an inversion would slow down a report.
PERCENTILE_FROM = 20_000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Resamples:
    """Resamples of patients, or of whole clusters, as one vector of weights each.

    Iterating again gives the same weights: curves and differences from one object share their resamples.

    Attributes
    ----------
    weight : ndarray of shape (n_patients,)
        Weights of the patients; counts, so that a weight of 2 is drawn as two patients.
    codes : ndarray of shape (n_patients,) or None
        Cluster of each patient; whole clusters are then drawn.
    n_resamples : int
        Number of resamples.
    seed : int
        Seed of the draws.
    """

    weight: FloatArray
    codes: FloatArray | None
    n_resamples: int
    seed: int

    @classmethod
    def of(
        cls, weight: FloatArray, *, clusters: Any = None, n_resamples: int = 500, seed: int = 0
    ) -> "Resamples":
        """Return resamples of patients with these weights.

        Raises
        ------
        InputError
            If `n_resamples` is below 2, or there are fewer than 2 clusters.
        """
        if not isinstance(n_resamples, int | np.integer) or n_resamples < 2:
            raise InputError(f"n_resamples is {n_resamples!r}; it must be a whole number of at least 2.")
        codes = None if clusters is None else codes_of(check_labels("clusters", clusters))
        if codes is not None and len(np.unique(codes[weight > 0])) < 2:
            raise InputError("clusters holds fewer than 2 clusters; leave it out to resample patients.")
        return cls(weight=weight, codes=codes, n_resamples=int(n_resamples), seed=seed)

    def __len__(self) -> int:
        """Return the number of resamples."""
        return self.n_resamples

    def __iter__(self) -> Iterator[FloatArray]:
        """Yield the weights of each resample, shape (n_patients,)."""
        random = np.random.default_rng(self.seed)
        if self.codes is not None:
            names, codes = np.unique(self.codes, return_inverse=True)
            alive = np.unique(codes[self.weight > 0])  # a cluster with only zero weights is not in the data
            for _ in range(self.n_resamples):
                drawn = alive[random.integers(len(alive), size=len(alive))]
                yield self.weight * np.bincount(drawn, minlength=len(names))[codes]
        elif np.all(self.weight == 1):
            n = len(self.weight)
            for _ in range(self.n_resamples):
                yield np.bincount(random.integers(n, size=n), minlength=n).astype(float)
        else:
            total = float(self.weight.sum())
            for _ in range(self.n_resamples):
                yield random.multinomial(round(total), self.weight / total).astype(float)


def percentile_interval(draws: FloatArray, level: float) -> Interval:
    """Return the percentile interval of the finite draws; NaN where fewer than nine in ten are finite.

    With more failures, the resamples without a value (one class only, separated classes) are no longer a
    negligible part of the distribution whose tails are estimated.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13. doi:10.1201/9780429246593
    """
    finite = draws[np.isfinite(draws)]
    if not len(draws) or len(finite) < 0.9 * len(draws):
        return Interval(float("nan"), float("nan"))
    lower, upper = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(lower), float(upper))
