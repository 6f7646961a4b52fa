"""Gain of a rule over random assignment, and over the arms that were received."""

import numpy.typing as npt
import pandas as pd

from treatsel._checks import check_binary
from treatsel._stats.by_arm_tables import check_table, share_received, value_under
from treatsel._stats.clustered_means import check_units, mean_of
from treatsel._stats.vectors import check_labels
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.policy._gain import _checked, _gain
from treatsel.metrics.policy._gain_result import AT_RANDOM, OWN, RANDOM, RECEIVED, Gain


def gain_over_random(
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Gain:
    """Outcome rate under the recommendations minus that of randomly assigned arms with the same shares.

    The benefit of matching arms to patients, separated from how often each arm is recommended. Use this
    comparison for scarce arms, which not all patients can receive.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, as in `gain_over_best_arm`.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Gain
        Difference of proportions; positive: the recommendations are better. The interval accounts for the
        estimation of the shares. Exactly 0 if all patients get the same arm.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, or an arm has no column.

    References
    ----------
    Imai & Li (2023), Journal of the American Statistical Association 118(541), 242-256.
    doi:10.1080/01621459.2021.1923511 (the "population average prescriptive effect")

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> round(gain_over_random(scores, ["CBT", "SSRI", "CBT", "CBT"]).value, 4)
    0.1875
    """
    table, units, given, own = _checked(scores, recommended, clusters, sample_weight, level, weights_are)
    cells, total = table.to_numpy(dtype=float), units.weight.sum()
    shares, rates = units.weight @ given / total, units.weight @ cells / total
    mean = mean_of(own - cells @ shares - (given - shares) @ rates, units)
    return _gain(mean, units, 1 - given @ shares, comparator=RANDOM, arm=None, source=AT_RANDOM)


def gain_over_received(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Gain:
    """Outcome rate under the recommendations minus that observed under the received arms.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Labels of the received arms.
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, as in `gain_over_best_arm`.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Gain
        Difference of proportions; positive: the recommendations are better. In a trial the received arms
        are assigned at random, so one good arm for all patients may give most of this gain: report
        `gain_over_best_arm` first.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a score is not finite, or an arm has no column.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> received = ["CBT", "CBT", "CBT", "SSRI"]
    >>> round(gain_over_received([1, 0, 1, 0], received, scores, ["CBT", "SSRI", "CBT", "CBT"]).value, 3)
    0.3
    """
    table = check_table("scores", scores)
    vectors = {"y_true": y_true, "received": received, "recommended": recommended}
    units = check_units(sample_weight, clusters, level, weights_are=weights_are, scores=scores, **vectors)
    outcome = check_binary("y_true", y_true)
    differs = 1 - share_received(recommended, check_labels("received", received))
    mean = mean_of(value_under(recommended, table) - outcome, units)
    return _gain(mean, units, differs, comparator=RECEIVED, arm=None, source=OWN)
