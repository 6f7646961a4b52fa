"""Average precision: area under the precision-recall curve, with the base rate."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from treatsel._checks import check_level
from treatsel._stats.clusters import check_clusters
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval
from treatsel._stats.vectors import check_scored
from treatsel._stats.weights import WeightsAre


def average_precision(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Average precision: area under the precision-recall curve, without interpolation.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_score : array-like of shape (n_patients,)
        Probability or any finite score; higher values must mean that outcome 1 is more likely.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; higher is better. The value of an uninformative score is the base rate
        (n_events / n), not 0.5, so values from cohorts with different base rates are not comparable. Wald
        interval on the logit scale, with the standard error (on that scale) from the influence function;
        no interval at exactly 1. NaN without events.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, or a score is missing or infinite.

    References
    ----------
    Boyd, Eng & Page (2013), ECML PKDD, LNCS 8190, 451-466. doi:10.1007/978-3-642-40994-3_29
    Hampel (1974), Journal of the American Statistical Association 69, 383-393. doi:10.2307/2285666

    Examples
    --------
    >>> round(average_precision([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.7]).value, 3)
    0.917
    """
    data = check_scored(y_true, y_score, sample_weight, weights_are=weights_are)
    level = check_level(level)
    clustering = check_clusters(clusters, data, y_true)
    if not data.outcome.any():
        return not_estimable("no patient has outcome 1", n=data.n, n_events=0, level=level)
    event = data.outcome == 1
    if event.all():
        reason = "no interval: every patient has outcome 1"
        return estimate_of(data, 1.0, Interval(NAN, NAN), se=NAN, level=level, method=reason)
    if data.score[event].min() > data.score[~event].max():
        reason = "no interval: every event scores above every non-event"
        return estimate_of(data, 1.0, Interval(NAN, NAN), se=NAN, level=level, method=reason)
    position = np.unique(data.score, return_inverse=True)[1]
    mass = np.bincount(position, weights=data.weight)
    events = np.bincount(position, weights=data.weight * data.outcome)
    above, events_above = (np.cumsum(part[::-1])[::-1] for part in (mass, events))
    precision, share = events_above / above, events / data.events
    value = min(float(share @ precision), 1.0)  # the sum may exceed 1 by rounding
    gained, lost = np.cumsum(share / above), np.cumsum(share * events_above / above**2)
    parts = data.outcome * ((precision[position] - value) / data.events + gained[position]) - lost[position]
    se = clustering.error(parts * data.total) / (value * (1 - value))
    limits = clustering.limits(float(logit(value)), se, level)
    lower, upper = (float(expit(limit)) for limit in limits)
    method = clustering.method("Wald on the logit, influence function", se)
    return estimate_of(data, value, Interval(lower, upper), se=se, level=level, method=method)
