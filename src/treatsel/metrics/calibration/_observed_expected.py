"""Ratio of observed to expected events (O/E)."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from treatsel._checks import check_choice, check_level
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, clopper_pearson
from treatsel._stats.vectors import check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.calibration._recalibration import ONE_CLASS, _clustering


def observed_expected_ratio(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Literal["log", "natural"] = "log",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Observed/expected ratio: number of events divided by the sum of the predictions.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    interval : {"log", "natural"}, default "log"
        Scale of the Wald interval: with O events of N patients and E expected, the standard error is
        sqrt((1 - O/N) / O) on the log scale, sqrt(O (1 - O/N)) / E on the natural one. With clusters it is
        computed from the cluster sums of y - O/E x prediction.
    clusters : array-like of shape (n_patients,), optional
        Sites or other clusters, for a cluster-robust standard error and Student's t with the number of
        clusters - 1 degrees of freedom. With fewer than two clusters there is no interval.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        With sampling weights there is no interval if the outcome has only one class.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        0 or more; 1 is perfect, below 1 if predictions are too high on average. `se` is on the scale of
        `interval`. If the outcome has only one class, the interval is the exact (Clopper-Pearson) interval of
        O/N divided by E/N. NaN if the sum of the predictions is 0.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Debray et al. (2017), BMJ 356, i6460. doi:10.1136/bmj.i6460

    Examples
    --------
    >>> ratio = observed_expected_ratio([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3])
    >>> round(ratio.value, 3), round(ratio.lower, 3), round(ratio.upper, 3)
    (1.429, 0.698, 2.922)
    """
    check_choice("interval", interval, ["log", "natural"])
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level, clustering = check_level(level), _clustering(clusters, data, y_true)
    expected = float(data.weight @ data.score)
    if not expected:
        reason = "every predicted probability is 0"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
    ratio, spread = data.events / expected, 1 - data.prevalence
    if not data.has_both and data.weights.sampling:
        reason = f"no interval: {ONE_CLASS}; there is no exact interval with sampling weights"
        return estimate_of(data, ratio, Interval(NAN, NAN), se=NAN, level=level, method=reason)
    if not data.has_both:
        exact = clopper_pearson(data.events, data.total, level)
        limits = Interval(*(limit * data.total / expected for limit in exact))
        method = "exact (Clopper-Pearson): the outcome has one class only"
        return estimate_of(data, ratio, limits, se=float("nan"), level=level, method=method)
    se = float(np.sqrt(spread / data.events))  # of log(O/E): sqrt((1 - O/n) / O), Debray et al. 2017
    if clustering.is_robust:
        # linearized ratio, because the expected sum varies as well: influence (y - O/E p) / mean y
        se = clustering.error(data.outcome - ratio * data.score) * data.total / data.events
    method = clustering.method(f"Wald on the {interval} scale", se)
    if interval == "log":
        limits = clustering.limits(float(np.log(ratio)), se, level)
        limits = Interval(*(float(np.exp(limit)) for limit in limits))
    else:
        se *= ratio
        limits = clustering.limits(ratio, se, level, low=0)
    return estimate_of(data, ratio, limits, se=se, level=level, method=method)
