"""Balanced accuracy at a threshold; public through `treatsel.metrics.discrimination`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_level, reaches
from treatsel._reporting.summary import Summarized
from treatsel._stats.clusters import Clusters, check_clusters
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval
from treatsel._stats.proportions import share_of
from treatsel._stats.vectors import Scored, check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError


@dataclass(frozen=True, kw_only=True, repr=False)
class BalancedAccuracy(Summarized):
    """Balanced accuracy with its components, the base rate and the no-information rate.

    Attributes
    ----------
    balanced_accuracy : Estimate
        Mean of sensitivity and specificity; 0.5 for a rule that classifies all patients alike.
    sensitivity, specificity : Estimate
        Proportion of events, and of non-events, that are classified correctly.
    accuracy : Estimate
        Proportion of patients classified correctly.
    base_rate : Estimate
        Share of patients with outcome 1.
    no_information_rate : float
        Accuracy of predicting the more frequent outcome for all patients.
    threshold : float
        Predictions of at least this value count as 1.

    Examples
    --------
    >>> balanced_accuracy([0, 1, 1, 0, 1], [0.2, 0.7, 0.4, 0.1, 0.9]).to_frame()["value"].round(2).to_dict()
    {'balanced accuracy': 0.83, 'sensitivity': 0.67, 'specificity': 1.0, 'accuracy': 0.8,
    'base rate': 0.6, 'no-information rate': 0.6}
    """

    balanced_accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    base_rate: Estimate
    no_information_rate: float
    threshold: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row per measure, the no-information rate last."""
        names = ("balanced_accuracy", "sensitivity", "specificity", "accuracy", "base_rate")
        rows = {name.replace("_", " "): getattr(self, name).to_dict() for name in names}
        counts = {name: rows["accuracy"][name] for name in ("n", "n_events", "level")}
        trivial = {"value": self.no_information_rate, "lower": NAN, "upper": NAN, **counts}
        rows["no-information rate"] = trivial | {"method": "no-information rate"}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="measure")


def balanced_accuracy(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    threshold: float = 0.5,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> BalancedAccuracy:
    """Mean of sensitivity and specificity at a threshold, with the base rate and the no-information rate.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    threshold : float, default 0.5
        In [0, 1]; predictions of at least this much, whatever binary rounding (up to 1e-12) did to either,
        count as 1.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for cluster-robust standard errors with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        With sampling weights all intervals are Wald intervals.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    BalancedAccuracy
        Proportions in [0, 1]; higher is better. Single proportions have Wilson intervals; the interval of
        the balanced accuracy combines those of sensitivity and specificity (MOVER). With clusters, all
        intervals are Wald intervals. If the outcome has only one class, balanced accuracy and the
        proportion for the absent class are NaN.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, or a probability or the threshold is outside [0, 1].

    References
    ----------
    Brodersen, Ong, Stephan & Buhmann (2010), Proceedings of ICPR 20, 3121-3124. doi:10.1109/ICPR.2010.764
    Zou & Donner (2008), Statistics in Medicine 27(10), 1693-1702. doi:10.1002/sim.3095

    Examples
    --------
    >>> found = balanced_accuracy([0, 1, 1, 0, 1], [0.2, 0.7, 0.4, 0.1, 0.9])
    >>> round(found.balanced_accuracy.value, 3), found.no_information_rate
    (0.833, 0.6)
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; it must be a probability from 0 to 1.")
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    clustering, event = check_clusters(clusters, data, y_true), data.outcome == 1
    right = (reaches(data.score, threshold) == event).astype(float)
    all_patients = np.ones(len(right), dtype=bool)
    sensitivity, specificity = (share_of(right, own, data, clustering, level) for own in (event, ~event))
    return BalancedAccuracy(
        balanced_accuracy=_mean_of_two(right, data, clustering, sensitivity, specificity),
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=share_of(right, all_patients, data, clustering, level),
        base_rate=share_of(data.outcome, all_patients, data, clustering, level),
        no_information_rate=max(data.prevalence, 1 - data.prevalence),
        threshold=float(threshold),
    )


def _mean_of_two(
    right: FloatArray, data: Scored, clustering: Clusters, first: Estimate, second: Estimate
) -> Estimate:
    if not data.has_both:
        reason = "the outcome has one class only"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=first.level)
    value, shares = (first.value + second.value) / 2, np.where(data.outcome == 1, first.value, second.value)
    mass = np.where(data.outcome == 1, data.events, data.total - data.events)
    se = clustering.error((right - shares) * data.total / mass / 2)
    if clustering.is_robust:
        limits, method = (
            clustering.limits(value, se, first.level, low=0, high=1),
            clustering.method("Wald", se),
        )
    else:
        below = np.hypot(first.value - first.lower, second.value - second.lower) / 2
        above = np.hypot(first.upper - first.value, second.upper - second.value) / 2
        limits, method = (
            Interval(float(value - below), float(value + above)),
            "MOVER from two Wilson intervals",
        )
    return estimate_of(data, value, limits, se=se, level=first.level, method=method)
