"""How far a patient is from the development cohort, from what a model file holds: no row of a patient.

Every covariate is checked against its own range elsewhere. The distance finds combinations of values that are
each within their range, but were hardly ever seen together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._lazy import lazy

FARTHEST = 3.0902323061678132  # normal quantile at .999: 1 in 1,000 normal patients is farther
MOST_SDS = 3.0  # by which one covariate counts; see `DevelopmentDistance`


@dataclass(frozen=True, kw_only=True, eq=False)
class DevelopmentDistance:
    """Squared Mahalanobis distance of patients to the mean of the development cohort.

    Means and SDs are those of the development cohort. Correlations come from the means of groups of similar
    patients that a model keeps as the background of its explanations: the covariances of these means, with
    the variances of patients in their diagonal. Group means vary less than patients, so correlations are
    underestimated.

    A covariate counts with 3 SDs at most: a single value beyond them, as in a skewed covariate, is a matter
    of its range and does not make the combination unusual. Unknown values are left out.

    Attributes
    ----------
    names : tuple of str
        Numeric covariates.
    center, scale : ndarray of shape (n_numbers,)
        Their means and SDs in the development cohort.
    covariance : ndarray of shape (n_numbers, n_numbers)
        Of the standardized covariates; its diagonal is 1.

    References
    ----------
    Mahalanobis (1936), Proceedings of the National Institute of Sciences of India 2(1), 49-55.
    Debray et al. (2015), Journal of Clinical Epidemiology 68(3), 279-289. doi:10.1016/j.jclinepi.2014.06.018
    """

    names: tuple[str, ...]
    center: FloatArray
    scale: FloatArray
    covariance: FloatArray

    @classmethod
    def of(
        cls, names: Sequence[str], center: FloatArray, scale: FloatArray, background: Mapping[str, Any]
    ) -> "DevelopmentDistance":
        """Return the distance from moments and background of a development cohort.

        Without a background, no covariate counts.
        """
        kept = [i for i, name in enumerate(names) if name in background]
        names, center, scale = [names[i] for i in kept], center[kept], scale[kept]
        groups = [np.asarray(background[name], dtype=np.float64) for name in names]
        means = np.column_stack(groups) if groups else np.zeros((0, 0))
        z = np.nan_to_num((means - center) / scale)
        covariance = z.T @ z / max(len(z), 1)
        # the variances of group means are at most 1: raising them keeps the matrix positive definite
        np.fill_diagonal(covariance, np.maximum(covariance.diagonal(), 1.0))
        return cls(names=tuple(names), center=center, scale=scale, covariance=covariance)

    def squared(self, x: FloatArray) -> tuple[FloatArray, np.ndarray]:
        """Return squared distances of patients, and the number of known values that each rests on.

        `x`: values by covariate, shape (n_patients, n_numbers); NaN where a value is not known.
        """
        z = np.minimum(np.maximum((x - self.center) / self.scale, -MOST_SDS), MOST_SDS)  # faster than clip
        known = z == z
        if known.all():
            return (z @ self._precision * z).sum(axis=1), known.sum(axis=1)
        found = np.zeros(len(z))
        for pattern in {row.tobytes(): row for row in known}.values():
            rows = (known == pattern).all(axis=1)
            some = z[rows][:, pattern]
            precision = np.linalg.inv(self.covariance[np.ix_(pattern, pattern)])
            found[rows] = (some @ precision * some).sum(axis=1)
        return found, known.sum(axis=1)

    def is_far(self, x: FloatArray) -> np.ndarray:
        """Return whether patients are farther than 999 of 1,000 normal patients, shape (n_patients,)."""
        found, n_known = self.squared(x)
        return np.asarray(found > self._limits[n_known])

    def is_far_one(self, x: FloatArray) -> bool:
        """Return what `is_far` says of one patient, shape (n_numbers,), in half the time if all are known."""
        z = np.minimum(np.maximum((x - self.center) / self.scale, -MOST_SDS), MOST_SDS)
        found = float(z.dot(self._precision).dot(z))
        return bool(self.is_far(x[None])[0]) if found != found else found > self._farthest

    @lazy
    def _farthest(self) -> float:
        return float(self._limits[-1])

    @lazy
    def _precision(self) -> FloatArray:
        return np.asarray(np.linalg.inv(self.covariance), dtype=np.float64)

    @lazy
    def _limits(self) -> FloatArray:
        return np.array([farthest(n) for n in range(len(self.names) + 1)])


def farthest(n: int) -> float:
    """Return the .999 quantile of the chi-squared distribution with `n` degrees of freedom; infinite for 0.

    The cube root is about normal; the quantile is too large by less than 2.5 % (3.1 % for one degree).
    SciPy is not imported, so that a service starts quickly.

    References
    ----------
    Wilson & Hilferty (1931), PNAS 17(12), 684-688. doi:10.1073/pnas.17.12.684
    """
    if n == 0:
        return np.inf
    part = 2 / (9 * n)
    return float(n * (1 - part + FARTHEST * np.sqrt(part)) ** 3)
