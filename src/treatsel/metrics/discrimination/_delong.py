"""AUC and its DeLong covariance from placement values, in O(n log n)."""

from dataclasses import dataclass

import numpy as np

from treatsel._checks import FloatArray
from treatsel._stats.clusters import Clusters
from treatsel._stats.vectors import Scored


@dataclass(frozen=True, kw_only=True, repr=False)
class Placed:
    """AUC with the placement value of each patient.

    `placement`: for an event, the proportion of non-events with a lower score (ties counting 1/2); for a
    non-event, the proportion of events with a higher one. `variance` is NaN with fewer than two events or
    non-events.
    """

    auc: float
    variance: float
    placement: FloatArray
    separation: int  # 1: every event scores above every non-event; -1: below; 0: neither


def place(data: Scored) -> Placed:
    """Return the AUC and its DeLong variance; both outcomes must occur.

    Sun & Xu (2014) with weights as counts, doi:10.1109/LSP.2014.2337313.
    """
    event = data.outcome == 1
    levels, position = np.unique(data.score, return_inverse=True)
    placement = np.empty(len(data.score))
    for own, sign in ((event, 1.0), (~event, -1.0)):
        mass = np.bincount(position[~own], weights=data.weight[~own], minlength=len(levels))
        below = np.cumsum(mass) - mass / 2
        share = below[position[own]] / mass.sum()
        placement[own] = share if sign > 0 else 1 - share
    lowest, highest = position[event].min(), position[event].max()
    separation = int(lowest > position[~event].max()) - int(highest < position[~event].min())
    auc = float(data.weight[event] @ placement[event] / data.weight[event].sum())
    auc = {1: 1.0, -1: 0.0}.get(separation, auc)
    return Placed(
        auc=auc,
        variance=delong_covariance(data, placement, placement),
        placement=placement,
        separation=separation,
    )


def delong_covariance(data: Scored, first: FloatArray, second: FloatArray) -> float:
    """Return the covariance of the AUCs of two scores in the same patients.

    With placement values V10 of the m events and V01 of the n non-events, and S10 and S01 their sample
    covariances: cov = S10 / m + S01 / n (DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595).
    """
    covariance = 0.0
    for own in (data.outcome == 1, data.outcome == 0):
        weight, total = data.weight[own], data.weight[own].sum()
        if total <= 1:
            return float("nan")
        a, b = (values[own] - weight @ values[own] / total for values in (first, second))
        covariance += float(weight @ (a * b)) / (total - 1) / total
    return covariance


def auc_variance(data: Scored, placement: FloatArray, clustering: Clusters) -> float:
    """Return the variance of an AUC, or of a difference of two AUCs if `placement` is that difference.

    DeLong's variance; with clusters, Obuchowski's; with sampling weights, that of the linearized AUC.
    """
    if data.weights.sampling:
        return clustering.error(placement_errors(data, placement) * data.total) ** 2
    if clustering.codes is not None:
        return clustered_variance(data, placement_errors(data, placement), clustering.codes)
    return delong_covariance(data, placement, placement)


def placement_errors(data: Scored, placement: FloatArray) -> FloatArray:
    """Return the influence of each patient on an AUC: (V10 - AUC) / m or, for a non-event, (V01 - AUC) / n.

    The weighted influences of each class sum to 0.
    """
    parts = np.empty(len(placement))
    for own in (data.outcome == 1, data.outcome == 0):
        weight = data.weight[own]
        parts[own] = (placement[own] - weight @ placement[own] / weight.sum()) / weight.sum()
    return parts


def clustered_variance(data: Scored, parts: FloatArray, codes: FloatArray) -> float:
    """Return the variance of an AUC with clustered patients.

    Obuchowski (1997), doi:10.2307/2533958; equal to DeLong's if each patient is a cluster. NaN unless at
    least two clusters have events and at least two have non-events.
    """
    position = np.unique(codes, return_inverse=True)[1]
    count, sums, factors = int(position.max()) + 1, [], []
    for own in (data.outcome == 1, data.outcome == 0):
        holding = len(np.unique(position[own]))
        if holding < 2:
            return float("nan")
        sums.append(np.bincount(position[own], weights=(data.weight * parts)[own], minlength=count))
        factors.append(holding / (holding - 1))
    # sums of the clusters' V10 and V01 parts: S10 / m + S01 / n, plus twice their covariance within clusters
    alone = sum(factor * float(part @ part) for factor, part in zip(factors, sums, strict=True))
    return max(alone + 2 * count / (count - 1) * float(sums[0] @ sums[1]), 0.0)


def disjoint_pairs(data: Scored, codes: FloatArray | None) -> float:
    """Return the number of pairs (event, non-event) that share no patient and no cluster."""
    if codes is None:
        return min(data.events, data.total - data.events)
    holding = [len(np.unique(codes[data.outcome == outcome])) for outcome in (0, 1)]
    return min(*holding, len(np.unique(codes)) // 2)
