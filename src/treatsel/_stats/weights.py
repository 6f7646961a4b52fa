"""Weights of patients, what they mean, and the standard errors that follow.

Counts: a weight of 2 gives what the same row twice would give, so that n is the sum of the weights. Sampling
weights: the inverse of a patient's chance of being in the data. They have no unit, n is the number of rows,
and standard errors are linearized (Binder 1983, International Statistical Review 51(3), 279-292,
doi:10.2307/1402588), as R's survey does for patients or clusters drawn with replacement.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from treatsel._checks import FloatArray, check_choice, check_weights

WeightsAre = Literal["counts", "sampling"]
LINEARIZED = "linearized for sampling weights"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Weights:
    """Weights of patients.

    Attributes
    ----------
    values : ndarray of shape (n_patients,)
        The weights; sampling weights scaled to a mean of 1, so that no result depends on their unit.
    sampling : bool
        Whether they are sampling weights instead of counts.
    """

    values: FloatArray
    sampling: bool = False

    @property
    def kind(self) -> WeightsAre:
        """What the weights are, as an argument of a metric."""
        return "sampling" if self.sampling else "counts"

    def subset(self, rows: Any) -> "Weights":
        """Return the weights of the patients that `rows` (a mask or positions) selects."""
        return Weights(values=self.values[rows], sampling=self.sampling)

    def count(self, of: Any = None) -> int:
        """Return the number of patients, or the sum of `of` (for example an outcome of 0 or 1) over them."""
        if self.sampling:
            present = self.values > 0
            return int(present.sum()) if of is None else round(float(np.asarray(of)[present].sum()))
        return round(float(self.values.sum() if of is None else self.values @ of))

    def units(self, codes: Any) -> Any:
        """Return the clusters over which a variance sums; None for independent patients with counts.

        With sampling weights and without clusters these are the patients themselves.
        """
        if codes is None and self.sampling:
            return np.arange(len(self.values), dtype=float)
        return codes

    def standard_error(self, parts: FloatArray, codes: FloatArray | None = None) -> float:
        """Return the standard error of the weighted mean of `parts`; NaN with fewer than two units.

        For counts sd / sqrt(n), with n - 1 in the variance; otherwise from `covariance_of_sums`.
        """
        total = self.values.sum()
        centered = parts - self.values @ parts / total
        units = self.units(codes)
        if units is not None:
            return float(np.sqrt(covariance_of_sums(self.values * centered, units)[0, 0]) / total)
        squares = float(self.values * centered @ centered)
        return float(np.sqrt(squares / (total - 1) / total)) if total > 1 else float("nan")

    def method(self, name: str) -> str:
        """Return the name of an interval, with a note on linearization for sampling weights."""
        return f"{name}, {LINEARIZED}" if self.sampling else name


def covariance_of_sums(parts: FloatArray, codes: FloatArray) -> FloatArray:
    """Return the covariance of column sums of `parts` (one row per patient) with independent clusters.

    The sandwich of the cluster sums, times G / (G - 1) with G clusters (Liang & Zeger 1986,
    doi:10.1093/biomet/73.1.13; Cameron & Miller 2015, doi:10.3368/jhr.50.2.317). NaN with fewer than two.
    """
    columns = parts.reshape(len(parts), -1).T
    position = np.unique(codes, return_inverse=True)[1]
    sums = np.column_stack([np.bincount(position, weights=column) for column in columns])
    count = len(sums)
    if count < 2:
        return np.full((len(columns), len(columns)), np.nan)
    return np.asarray(count / (count - 1) * sums.T @ sums)


def check_sample_weight(sample_weight: Any, n: int, weights_are: Any = "counts") -> Weights:
    """Return checked weights of n patients.

    Raises
    ------
    InputError
        If a weight is missing, infinite or negative, all are zero, or `weights_are` is unknown.
    """
    check_choice("weights_are", weights_are, ["counts", "sampling"])
    values = check_weights("sample_weight", sample_weight, n)
    if weights_are == "counts":
        return Weights(values=values)
    return Weights(values=values * (int((values > 0).sum()) / values.sum()), sampling=True)
