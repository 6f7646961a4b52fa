"""Clusters of patients (sites, services), whose outcomes may be correlated, and intervals for them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._stats.intervals import Interval, wald
from treatsel._stats.vectors import Scored, check_labels, check_patients, ordered_labels
from treatsel._stats.weights import Weights


@dataclass(frozen=True, kw_only=True, repr=False)
class Clusters:
    """The cluster number of each patient; without clusters, patients are treated as independent.

    The numbers follow the labels, so that the order of the rows does not matter.
    """

    codes: FloatArray | None
    weights: Weights

    @property
    def count(self) -> int | None:
        """Number of clusters; None without clusters."""
        return None if self.codes is None else len(np.unique(self.codes))

    @property
    def df(self) -> float | None:
        """Degrees of freedom of Student's t; None for a normal interval."""
        return None if self.count is None else self.count - 1

    @property
    def is_robust(self) -> bool:
        """Whether standard errors are sandwich estimates, because of clusters or of sampling weights."""
        return self.codes is not None or self.weights.sampling

    def subset(self, mask: Any) -> "Clusters":
        """Return the clusters of the patients that `mask` selects."""
        codes = None if self.codes is None else self.codes[mask]
        return Clusters(codes=codes, weights=self.weights.subset(mask))

    def error(self, parts: FloatArray) -> float:
        """Return the standard error of the weighted mean of `parts`."""
        return self.weights.standard_error(parts, self.codes)

    def limits(
        self, value: float, se: float, level: float, *, low: float = -np.inf, high: float = np.inf
    ) -> Interval:
        """Return a Wald interval; with clusters from Student's t."""
        return wald(value, se, level, df=self.df, low=low, high=high)

    def method(self, name: str, se: float, *, needs: str = "two patients") -> str:
        """Return the name of the interval, or why there is none."""
        if not np.isfinite(se):
            return f"no interval: it needs at least {needs if self.count is None else 'two clusters'}"
        named = self.weights.method(name)
        if self.count is None:
            return named
        return f"{named}, cluster-robust, {self.count} clusters, t with {self.count - 1} df"


def check_clusters(clusters: Any, data: Scored, y_true: Any) -> Clusters:
    """Return the clusters of the patients of positive weight."""
    if clusters is None:
        return Clusters(codes=None, weights=data.weights)
    check_patients(y_true=y_true, clusters=clusters)
    labels = check_labels("clusters", clusters)[data.rows]
    codes, names = pd.factorize(labels)
    position = {label: number for number, label in enumerate(ordered_labels(labels))}
    numbers = np.array([position[name] for name in names], dtype=float)[codes]
    return Clusters(codes=numbers, weights=data.weights)


def therapist_clusters(therapists: pd.Series, sites: pd.Series | None) -> pd.Series:
    """Return the cluster number of each patient: therapists within sites.

    The same label at two sites is two therapists; a patient without a therapist is a cluster.
    """
    codes = pd.factorize(therapists)[0]
    places = np.zeros(len(codes), dtype=np.intp) if sites is None else pd.factorize(sites)[0]
    pairs = np.unique(places * (codes.max(initial=0) + 1) + codes, return_inverse=True)[1]
    alone = codes < 0
    found = np.where(alone, len(codes) + np.arange(len(codes)), pairs)
    return pd.Series(found, index=therapists.index, name=therapists.name)
