"""Within-arm AUC: AUC among patients of the same arm, pooled over arms."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._stats.clusters import Clusters, check_clusters
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval
from treatsel._stats.vectors import Scored, check_labels, check_patients, check_scored, ordered_labels
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.discrimination._auc import LARGEST_VARIANCE, SEPARATED, Scale, _auc_estimate, _separated
from treatsel.metrics.discrimination._delong import (
    Placed,
    clustered_variance,
    disjoint_pairs,
    place,
    placement_errors,
)


def within_arm_auc(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    received: npt.ArrayLike,
    *,
    interval: Scale = "delong",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Within-arm AUC: AUC over the pairs of patients who received the same arm.

    Mean of the AUCs of the arms, weighted by their numbers of pairs (events x non-events). Differences in
    outcome rate between arms therefore do not contribute. The arms are independent: the variance is the sum
    of the squared weights times the DeLong variances of the arms.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_score : array-like of shape (n_patients,)
        Probability or any finite score for the received arm.
    received : array-like of shape (n_patients,)
        Label of the received arm, or of any other stratum.
    interval : {"delong", "logit"}, default "delong"
        Scale of the Wald interval, as in `roc_auc`.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for Obuchowski's cluster-robust variance and Student's t with the
        number of clusters - 1 degrees of freedom. Intervals are too short with fewer than about ten clusters.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        With sampling weights the variance allows for the estimated weights of the arms, and there is no
        interval at an AUC of 0 or 1.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; higher is better, 0.5 is chance. Arms with only one class contribute no
        pairs; NaN if no pairs remain. `n` and `n_events` count all patients. In an arm with a single event
        (or non-event) DeLong's variance is undefined and replaced by 0.25, the largest variance of an AUC.
        If every arm is perfectly separated in the same direction, the exact bound of `roc_auc` applies,
        assuming the same AUC in every arm, with the disjoint pairs of all arms (with clusters, those of the
        arm that has the most).

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a score is not finite or a label is missing.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44(3), 837-845. doi:10.2307/2531595
    Obuchowski (1997), Biometrics 53(2), 567-578. doi:10.2307/2533958
    Birnbaum & Klose (1957), Annals of Mathematical Statistics 28(4), 933-945. doi:10.1214/aoms/1177706794

    Examples
    --------
    >>> y, score = [0, 1, 0, 1, 0, 1, 1, 0], [0.1, 0.2, 0.3, 0.1, 0.6, 0.9, 0.8, 0.7]
    >>> round(within_arm_auc(y, score, ["CBT"] * 4 + ["SSRI"] * 4).value, 3)
    0.688
    """
    check_choice("interval", interval, ["delong", "logit"])
    data = check_scored(y_true, y_score, sample_weight, weights_are=weights_are)
    level = check_level(level)
    check_patients(y_true=y_true, y_score=y_score, received=received)
    clustering = check_clusters(clusters, data, y_true)
    labels = check_labels("received", received)[data.rows]
    masks = [np.asarray(labels == arm) for arm in ordered_labels(labels)]
    parts = [(mask, data.subset(mask)) for mask in masks]
    arms = [Arm(mask=mask, data=arm, placed=place(arm)) for mask, arm in parts if arm.has_both]
    if not arms:
        reason = "no arm has both outcomes"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
    pairs = np.array([arm.data.events * (arm.data.total - arm.data.events) for arm in arms])
    share = pairs / pairs.sum()
    value = float(share @ np.array([arm.placed.auc for arm in arms]))
    if all(arm.placed.separation for arm in arms) and len({arm.placed.separation for arm in arms}) == 1:
        if data.weights.sampling:
            return estimate_of(data, round(value), Interval(NAN, NAN), se=NAN, level=level, method=SEPARATED)
        disjoint = [disjoint_pairs(arm.data, clustering.subset(arm.mask).codes) for arm in arms]
        smallest = sum(disjoint) if clustering.codes is None else max(disjoint)
        return _separated(data, round(value), pairs=smallest, level=level)
    if data.weights.sampling:
        variance = clustering.error(_linearized(data, arms, value, float(pairs.sum()))) ** 2
    else:
        variance = _pooled_variance(data, arms, share, clustering)
    return _auc_estimate(data, value, variance, clustering, scale=interval, level=level, of="DeLong per arm")


@dataclass(frozen=True, kw_only=True, repr=False)
class Arm:
    """Patients of one arm, with their placement values within the arm."""

    mask: npt.NDArray[np.bool_]
    data: Scored
    placed: Placed


def _linearized(data: Scored, arms: list[Arm], value: float, pairs: float) -> FloatArray:
    """Return each patient's influence on sum(concordant pairs) / sum(pairs), both summed over the arms.

    For an event w0 (V - AUC) / pairs, with w0 the weight of the arm's non-events; likewise for a non-event.
    """
    parts = np.zeros(len(data.score))
    for arm in arms:
        others = np.where(arm.data.outcome == 1, arm.data.total - arm.data.events, arm.data.events)
        parts[arm.mask] = others * (arm.placed.placement - value) / pairs
    return parts * data.total


def _pooled_variance(data: Scored, arms: list[Arm], share: FloatArray, clustering: Clusters) -> float:
    own = np.array([arm.placed.variance for arm in arms])
    known = np.isfinite(own)
    unknown = float(share[~known] @ share[~known]) * LARGEST_VARIANCE
    if clustering.codes is None:
        return float(share[known] ** 2 @ own[known]) + unknown
    parts = np.zeros(len(data.score))
    for arm, weight in zip(arms, share, strict=True):
        if np.isfinite(arm.placed.variance):
            parts[arm.mask] = weight * placement_errors(arm.data, arm.placed.placement)
    return clustered_variance(data, parts, clustering.codes) + unknown
