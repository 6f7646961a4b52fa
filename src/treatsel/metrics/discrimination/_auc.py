"""Area under the ROC curve, and the difference between two AUCs, with DeLong standard errors."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from treatsel._checks import check_choice, check_level, check_same_length
from treatsel._stats.clusters import Clusters, check_clusters
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, two_sided_p
from treatsel._stats.vectors import Scored, check_scored
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.discrimination._delong import (
    auc_variance,
    disjoint_pairs,
    place,
)

Scale = Literal["delong", "logit"]
ONE_CLASS = "the outcome has one class only"
TWO_EACH = "two events and two non-events"
SEPARATED = "no interval: the score separates the classes; there is no exact interval with sampling weights"
LARGEST_VARIANCE = 0.25  # bound of var(AUC) x min(events, non-events); see within_arm_auc


def roc_auc(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    interval: Scale = "delong",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Area under the ROC curve: probability that an event scores above a non-event, ties counting 1/2.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_score : array-like of shape (n_patients,)
        Probability or any finite score; higher values must mean that outcome 1 is more likely.
    interval : {"delong", "logit"}, default "delong"
        Wald interval with DeLong's variance on the AUC scale, truncated at 0 and 1, or on the logit scale.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for Obuchowski's cluster-robust variance and Student's t with the
        number of clusters - 1 degrees of freedom. Intervals are too short with fewer than about ten clusters.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        With sampling weights there is no interval if the score separates the classes.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; higher is better, 0.5 is chance. `se` is DeLong's, on the AUC scale (on the
        logit scale for "logit"). NaN if the outcome has only one class. With fewer than two events or
        non-events there is no interval, unless the AUC is 0 or 1. At an AUC of exactly 1 (or 0) the DeLong
        variance is 0. The interval is then the exact binomial interval from min(events, non-events) disjoint
        pairs, all concordant (discordant), with a coverage of at least `level`, and `se` is NaN. (With
        clusters, no two pairs share a cluster.)

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a score is missing or infinite, or an option is unknown.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44(3), 837-845. doi:10.2307/2531595
    Obuchowski (1997), Biometrics 53(2), 567-578. doi:10.2307/2533958
    Sun & Xu (2014), IEEE Signal Processing Letters 21(11), 1389-1393. doi:10.1109/LSP.2014.2337313
    Clopper & Pearson (1934), Biometrika 26(4), 404-413. doi:10.1093/biomet/26.4.404

    Examples
    --------
    >>> auc = roc_auc([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.7])
    >>> f"{auc.value:.3f} ({auc.lower:.3f} to {auc.upper:.3f}), {auc.n_events} of {auc.n}"
    '0.889 (0.581 to 1.000), 3 of 6'
    """
    check_choice("interval", interval, ["delong", "logit"])
    data = check_scored(y_true, y_score, sample_weight, weights_are=weights_are)
    level = check_level(level)
    clustering = check_clusters(clusters, data, y_true)
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    placed = place(data)
    if placed.separation and data.weights.sampling:
        return estimate_of(data, placed.auc, Interval(NAN, NAN), se=NAN, level=level, method=SEPARATED)
    if placed.separation:
        return _separated(data, placed.auc, pairs=disjoint_pairs(data, clustering.codes), level=level)
    variance = auc_variance(data, placed.placement, clustering)
    return _auc_estimate(data, placed.auc, variance, clustering, scale=interval, level=level, of="DeLong")


def roc_auc_difference(
    y_true: npt.ArrayLike,
    first_score: npt.ArrayLike,
    second_score: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """AUC of one score minus that of another, in the same patients (paired DeLong test).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    first_score, second_score : array-like of shape (n_patients,)
        Probabilities or any finite scores.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for Obuchowski's cluster-robust variance and Student's t with the
        number of clusters - 1 degrees of freedom. Intervals are too short with fewer than about ten clusters.
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
        Difference in [-1, 1]; positive if the first score discriminates better; with `se` and the two-sided
        `p_value` for no difference. The test is conservative for nested models on their development data.
        NaN if the outcome has only one class; no interval with fewer than two events or non-events, or if
        both scores separate the classes perfectly in opposite directions.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a score is not finite.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44(3), 837-845. doi:10.2307/2531595
    Obuchowski (1997), Biometrics 53(2), 567-578. doi:10.2307/2533958
    Demler, Pencina & D'Agostino (2012), Statistics in Medicine 31(23), 2577-2587. doi:10.1002/sim.5328

    Examples
    --------
    >>> y = [0, 0, 1, 1, 0, 1]
    >>> gain = roc_auc_difference(y, [0.1, 0.4, 0.35, 0.8, 0.2, 0.7], [0.5, 0.4, 0.3, 0.6, 0.2, 0.7])
    >>> round(gain.value, 3), round(gain.p_value, 2)
    (0.111, 0.48)
    """
    level = check_level(level)
    first = check_scored(y_true, first_score, sample_weight, name="first_score", weights_are=weights_are)
    second = check_scored(y_true, second_score, sample_weight, name="second_score", weights_are=weights_are)
    check_same_length(first_score=first.score, second_score=second.score)
    clustering = check_clusters(clusters, first, y_true)
    if not first.has_both:
        return not_estimable(ONE_CLASS, n=first.n, n_events=first.n_events, level=level)
    a, b = place(first), place(second)
    value, apart = a.auc - b.auc, a.placement - b.placement
    se = float(np.sqrt(auc_variance(first, apart, clustering)))
    if se == 0 and value != 0:
        se = float("nan")
    limits = clustering.limits(value, se, level, low=-1, high=1)
    method = clustering.method("paired DeLong, Wald", se, needs=TWO_EACH)
    p_value = two_sided_p(value, se, df=clustering.df)
    return estimate_of(first, value, limits, se=se, level=level, method=method, p_value=p_value)


def _separated(data: Scored, auc: float, *, pairs: float, level: float) -> Estimate:
    away = float(((1 - level) / 2) ** (1 / pairs)) if pairs else 0.0
    limits = Interval(away, 1.0) if auc == 1 else Interval(0.0, 1 - away)
    method = f"exact binomial bound from {pairs:g} disjoint pairs of an event and a non-event"
    return estimate_of(data, auc, limits, se=float("nan"), level=level, method=method)


def _auc_estimate(
    data: Scored, auc: float, variance: float, clustering: Clusters, *, scale: Scale, level: float, of: str
) -> Estimate:
    se = float(np.sqrt(variance))
    if scale == "logit" and 0 < auc < 1:
        se /= auc * (1 - auc)
        limits = clustering.limits(float(logit(auc)), se, level)
        limits, method = Interval(*(float(expit(limit)) for limit in limits)), f"{of}, Wald on the logit"
    else:
        limits, method = clustering.limits(auc, se, level, low=0, high=1), f"{of}, Wald on the AUC"
    named = clustering.method(method, se, needs=TWO_EACH)
    return estimate_of(data, auc, limits, se=se, level=level, method=named)
