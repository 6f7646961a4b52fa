"""Model-based concordance (expected AUC); public through `treatsel.metrics.discrimination`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, check_level, check_probability
from treatsel._stats.clusters import check_clusters
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import Scored, check_labels, check_patients, check_predicted, ordered_labels

LEAST = 1e-12  # of the expected number of pairs per patient; smaller values are rounding error


def model_based_concordance(
    y_prob: npt.ArrayLike,
    received: npt.ArrayLike | None = None,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Model-based concordance: AUC expected in these patients if all predicted probabilities are correct.

    Outcomes are not used. Comparison with the AUC at development shows the effect of case mix (a narrower
    case mix lowers the AUC). Comparison with the observed AUC shows the effect of the model's coefficients:
    an observed AUC below this one means that the predictions are too extreme or in the wrong order, not that
    the patients are more homogeneous.

    Parameters
    ----------
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    received : array-like of shape (n_patients,), optional
        Label of the received arm. If given, only pairs within an arm count, as in `within_arm_auc`.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0.5, 1]: the sum over pairs of different patients i, j of p_i (1 - p_j), times 1, 1/2
        or 0 if p_i is above, equal to or below p_j, divided by the same sum without that factor. (`mAUC` of
        R's predtools also pairs each patient with themselves, which changes the value by about 1 / (2 n).)
        The interval reflects the sampling of the case mix, not the random variation of an observed AUC.
        `n_events` is None. NaN if no pair can consist of an event and a non-event.

    Raises
    ------
    InputError
        If lengths differ, a probability is outside [0, 1] or a label is missing.

    References
    ----------
    van Klaveren, Gonen, Steyerberg & Vergouwe (2016), Statistics in Medicine 35(23), 4136-4152.
    doi:10.1002/sim.6997
    Sadatsafavi, Saha-Chaudhuri & Petkau (2022), Medical Decision Making 42(4), 487-499.
    doi:10.1177/0272989X211050909

    Examples
    --------
    >>> round(model_based_concordance([0.2, 0.4, 0.6, 0.8]).value, 2)
    0.81
    """
    no_events = np.zeros(len(check_probability("y_prob", y_prob)))
    check_patients(y_prob=y_prob, sample_weight=sample_weight)
    data, level = check_predicted(no_events, y_prob, sample_weight), check_level(level)
    clustering = check_clusters(clusters, data, y_prob)
    high, both = np.empty(len(data.score)), np.empty(len(data.score))
    for mask in _strata(data, received, y_prob):
        high[mask], both[mask] = _expected_pairs(data.subset(mask))
    pairs = float(data.weight @ both)  # each pair twice
    if pairs <= LEAST * data.total:
        reason = "no pair can consist of an event and a non-event"
        return not_estimable(reason, n=data.n, n_events=None, level=level)
    value = float(data.weight @ high) / pairs
    se = clustering.error(2 * (high - value * both) * data.total / pairs)
    limits = clustering.limits(value, se, level, low=0, high=1)
    return Estimate(
        value=value,
        lower=limits.lower,
        upper=limits.upper,
        n=data.n,
        n_events=None,
        level=level,
        method=clustering.method("Wald, U-statistic of the predictions", se),
        se=se,
    )


def _strata(data: Scored, received: Any, y_prob: Any) -> list[npt.NDArray[np.bool_]]:
    if received is None:
        return [np.ones(len(data.score), dtype=bool)]
    check_patients(y_prob=y_prob, received=received)
    labels = check_labels("received", received)[data.rows]
    return [np.asarray(labels == arm) for arm in ordered_labels(labels)]


def _expected_pairs(data: Scored) -> tuple[FloatArray, FloatArray]:
    """Return, per patient, the expected number of concordant pairs with others, and of all such pairs."""
    p, w = data.score, data.weight
    levels, position = np.unique(p, return_inverse=True)
    event = np.bincount(position, weights=w * p, minlength=len(levels)).astype(float)
    other = np.bincount(position, weights=w * (1 - p), minlength=len(levels)).astype(float)
    others_below = np.cumsum(other) - other / 2
    events_above = event.sum() - np.cumsum(event) + event / 2
    itself = p * (1 - p)
    high = p * others_below[position] + (1 - p) * events_above[position] - itself
    both = p * other.sum() + (1 - p) * event.sum() - 2 * itself
    return high, both
