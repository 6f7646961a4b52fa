"""Means of one value per patient with a standard error that may allow for clusters and sampling weights."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from treatsel._checks import FloatArray, check_level
from treatsel._stats.estimate import Estimate
from treatsel._stats.intervals import Interval, two_sided_p, wald
from treatsel._stats.vectors import check_labels, check_patients, codes_of
from treatsel._stats.weights import Weights, WeightsAre, check_sample_weight


@dataclass(frozen=True, kw_only=True, repr=False)
class Units:
    """Weights and, if given, cluster codes of the patients, from which standard errors are computed."""

    weights: Weights
    codes: FloatArray | None
    level: float

    @property
    def weight(self) -> FloatArray:
        """Weight of each patient."""
        return self.weights.values

    @property
    def n(self) -> int:
        """Number of patients."""
        return self.weights.count()

    @cached_property
    def n_clusters(self) -> int | None:
        """Number of clusters with a patient of positive weight."""
        return None if self.codes is None else len(np.unique(self.codes[self.weight > 0]))

    def subset(self, rows: Any) -> "Units":
        """Return the units of the patients that `rows` (a mask or positions) selects."""
        codes = None if self.codes is None else self.codes[rows]
        return Units(weights=self.weights.subset(rows), codes=codes, level=self.level)


# A cluster-robust standard error rests on as many numbers as there are clusters: with fewer than this, its
# interval is much too short, even with Student's t (Cameron & Miller 2015, section VI).
MIN_CLUSTERS = 10


# Means over clusters have a small-sample correction and are possible with fewer. Below this number, Student's
# t makes an interval 1.6 times as wide as a normal one, or wider, and says little beyond that.
FEWEST_CLUSTERS = 5


def enough_clusters(clusters: Any, *, fewest: int = MIN_CLUSTERS) -> Any:
    """Return clusters if there are at least `fewest`, else None: patients are treated as independent.

    References
    ----------
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317
    """
    return None if clusters is None or len(np.unique(clusters)) < fewest else clusters


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A weighted mean with its interval; `df` are the degrees of freedom of Student's t, None: normal."""

    value: float
    se: float
    limits: Interval
    p_value: float
    method: str
    df: float | None = None

    def limits_at(self, level: float) -> Interval:
        """Return the limits at another confidence level."""
        return wald(self.value, self.se, level, df=self.df)

    def reversed(self) -> "Mean":
        """Return the mean of the values with the opposite sign."""
        limits = Interval(-self.limits.upper, -self.limits.lower)
        return replace(self, value=-self.value, limits=limits)


def check_units(
    sample_weight: Any, clusters: Any, level: float, *, weights_are: WeightsAre = "counts", **patients: Any
) -> Units:
    """Return checked weights and clusters of the patients in the named vectors and tables."""
    n = check_patients(**patients, clusters=clusters, sample_weight=sample_weight)
    weights = check_sample_weight(sample_weight, n, weights_are)
    codes = None if clusters is None else codes_of(check_labels("clusters", clusters))
    return Units(weights=weights, codes=codes, level=check_level(level))


def mean_of(values: FloatArray, units: Units) -> Mean:
    """Return the mean with a normal interval, or with clusters a cluster-robust one with Student's t.

    With fewer than ``MIN_CLUSTERS`` clusters, it has a small-sample correction.
    """
    kept = units.weight > 0
    present = units.subset(kept)
    value = float(present.weight @ values[kept] / present.weight.sum())
    count = units.n_clusters
    df: float | None = None
    if count is not None and 2 <= count < MIN_CLUSTERS:
        se, df = _of_few_clusters(values[kept] - value, present)
    else:
        se = present.weights.standard_error(values[kept], present.codes)
        df = None if count is None else count - 1.0
    return Mean(
        value=value,
        se=se,
        limits=wald(value, se, units.level, df=df),
        p_value=two_sided_p(value, se, df=df),
        method=_name(se, units, df),
        df=df,
    )


def _of_few_clusters(residuals: FloatArray, units: Units) -> tuple[float, float]:
    """Return the CR2 standard error of a weighted mean, and Satterthwaite's degrees of freedom.

    Both for a working model of independent patients with variances inverse to their weights. With clusters
    of equal weight they are those of Liang & Zeger (1986), and the number of clusters - 1.

    References
    ----------
    Bell & McCaffrey (2002), Survey Methodology 28(2), 169-181.
    Pustejovsky & Tipton (2018), J Business & Economic Statistics 36(4), 672-683.
    doi:10.1080/07350015.2016.1247004
    """
    codes: Any = units.codes
    position = np.unique(codes, return_inverse=True)[1]
    total = units.weight.sum()
    share = np.bincount(position, units.weight) / total
    sums = np.bincount(position, units.weight * residuals) / total
    se = float(np.sqrt((sums**2 / (1 - share)).sum()))
    cross = np.outer(share, share) / np.sqrt(np.outer(1 - share, 1 - share))
    np.fill_diagonal(cross, share)
    return se, float(np.trace(cross) ** 2 / (cross**2).sum())


def mean_estimate(values: FloatArray, units: Units, *, n_events: int | None) -> Estimate:
    """Return the mean with its interval as an estimate."""
    return estimate_of(mean_of(values, units), units, n_events=n_events)


def estimate_of(mean: Mean, units: Units, *, n_events: int | None, p_value: float = float("nan")) -> Estimate:
    """Return a mean as an estimate; `p_value`: of the mean, if it is a test."""
    return Estimate(
        value=mean.value,
        lower=mean.limits.lower,
        upper=mean.limits.upper,
        n=units.n,
        n_events=n_events,
        level=units.level,
        method=mean.method,
        se=mean.se,
        p_value=p_value,
    )


def _name(se: float, units: Units, df: float | None) -> str:
    count = units.n_clusters
    if not np.isfinite(se):
        return f"no interval: it needs at least two {'patients' if count is None else 'clusters'}"
    if count is None:
        return units.weights.method("Wald") if units.weights.sampling else "Wald, sd / sqrt(n)"
    if count < MIN_CLUSTERS:
        return units.weights.method("Wald") + f", cluster-robust (CR2), {count} clusters, t with {df:.1f} df"
    return units.weights.method("Wald") + f", cluster-robust, {count} clusters, t with {count - 1} df"
