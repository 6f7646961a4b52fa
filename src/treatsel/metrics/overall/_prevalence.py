"""Base rate of the outcome, with Wilson's interval."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from treatsel._checks import check_choice, check_level
from treatsel._stats.clusters import check_clusters
from treatsel._stats.estimate import Estimate, estimate_of
from treatsel._stats.intervals import Interval, clopper_pearson, wilson
from treatsel._stats.vectors import check_scored
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.overall._estimate import _estimate


def prevalence(
    y_true: npt.ArrayLike,
    *,
    interval: Literal["wilson", "clopper-pearson"] = "wilson",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Prevalence: proportion of patients with outcome 1 (the base rate, reported with every measure).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    interval : {"wilson", "clopper-pearson"}, default "wilson"
        Wilson's interval has an average coverage of about `level`, the exact Clopper-Pearson interval a
        coverage of at least `level`.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust Wald interval with Student's t instead.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        With sampling weights the interval is a Wald interval.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; neither high nor low is better.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or the interval is unknown.

    References
    ----------
    Brown, Cai & DasGupta (2001), Statistical Science 16(2), 101-133. doi:10.1214/ss/1009213286

    Examples
    --------
    >>> share = prevalence([0, 1, 1, 0, 1])
    >>> f"{share.value:.2f} ({share.lower:.2f} to {share.upper:.2f})"
    '0.60 (0.23 to 0.88)'
    """
    check_choice("interval", interval, ["wilson", "clopper-pearson"])
    data = check_scored(y_true, y_true, sample_weight, name="y_true", weights_are=weights_are)
    level = check_level(level)
    clustering = check_clusters(clusters, data, y_true)
    if clustering.is_robust:
        return _estimate(data, data.prevalence, data.outcome, clustering, level=level, low=0, high=1)
    if interval == "wilson":
        lower, upper = wilson(np.array([data.events]), np.array([data.total]), level)
        limits, method = Interval(float(lower[0]), float(upper[0])), "Wilson"
    else:
        limits, method = clopper_pearson(data.events, data.total, level), "Clopper-Pearson, exact"
    se = clustering.error(data.outcome)
    return estimate_of(data, data.prevalence, limits, se=se, level=level, method=method)
