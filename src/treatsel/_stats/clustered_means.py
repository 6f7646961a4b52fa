"""Means of one value a patient with a standard error that may cluster by site."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import FloatArray, check_level, check_weights
from treatsel._stats.estimate import Estimate
from treatsel._stats.intervals import Interval, standard_error, two_sided_p, wald
from treatsel._stats.vectors import check_labels, check_patients, codes_of


@dataclass(frozen=True, kw_only=True)
class Units:
    """Weights and, if given, cluster codes of the patients, as a standard error needs them."""

    weight: FloatArray
    codes: FloatArray | None
    level: float

    @property
    def n(self) -> int:
        """Number of patients."""
        return round(float(self.weight.sum()))

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters with a patient of positive weight."""
        return None if self.codes is None else len(np.unique(self.codes[self.weight > 0]))


MIN_CLUSTERS = 10  # with fewer clusters a cluster-robust standard error is not reliable


def enough_clusters(clusters: Any) -> Any:
    """Return clusters if there are at least ``MIN_CLUSTERS``, else None: patients count as independent.

    References
    ----------
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317
    """
    return None if clusters is None or len(np.unique(clusters)) < MIN_CLUSTERS else clusters


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A weighted mean with its interval."""

    value: float
    se: float
    limits: Interval
    p_value: float
    method: str


def check_units(sample_weight: Any, clusters: Any, level: float, **patients: Any) -> Units:
    """Return checked weights and clusters of the patients that the named vectors and tables hold."""
    n = check_patients(**patients, clusters=clusters, sample_weight=sample_weight)
    weight = check_weights("sample_weight", sample_weight, n)
    codes = None if clusters is None else codes_of(check_labels("clusters", clusters))
    return Units(weight=weight, codes=codes, level=check_level(level))


def mean_of(values: FloatArray, units: Units) -> Mean:
    """Return the mean with a normal interval, or with clusters a cluster-robust one with Student's t."""
    kept = units.weight > 0
    weight, codes = units.weight[kept], None if units.codes is None else units.codes[kept]
    value = float(weight @ values[kept] / weight.sum())
    se = standard_error(values[kept], weight, codes)
    df = None if units.n_clusters is None else units.n_clusters - 1
    return Mean(
        value=value,
        se=se,
        limits=wald(value, se, units.level, df=df),
        p_value=two_sided_p(value, se, df=df),
        method=_name(se, units.n_clusters),
    )


def mean_estimate(values: FloatArray, units: Units, *, n_events: int | None) -> Estimate:
    """Return the mean with its interval as an estimate."""
    mean = mean_of(values, units)
    return Estimate(
        value=mean.value,
        lower=mean.limits.lower,
        upper=mean.limits.upper,
        n=units.n,
        n_events=n_events,
        level=units.level,
        method=mean.method,
        se=mean.se,
    )


def _name(se: float, n_clusters: int | None) -> str:
    if not np.isfinite(se):
        return f"no interval: it needs at least two {'patients' if n_clusters is None else 'clusters'}"
    if n_clusters is None:
        return "Wald, sd / sqrt(n)"
    return f"Wald, cluster-robust, {n_clusters} clusters, t with {n_clusters - 1} df"
