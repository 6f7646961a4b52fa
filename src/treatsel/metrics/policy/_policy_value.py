"""Value of a rule: outcome rate if every patient got the recommended arm (IPW, AIPW, direct)."""

import dataclasses
from typing import Literal

import numpy.typing as npt
import pandas as pd

from treatsel._checks import check_binary, check_by_arm, check_choice
from treatsel._stats.by_arm_tables import check_table, received_probability, share_received, value_under
from treatsel._stats.clustered_means import check_units, mean_estimate
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import check_labels
from treatsel._stats.weights import WeightsAre


def policy_value_aipw(
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Outcome rate expected if every patient got the recommended arm, from doubly robust scores.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
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
        A proportion (the estimate may fall outside [0, 1] by chance); higher is better. `se` is sd / sqrt(n).
        `n_events` is None: scores do not contain the outcome.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, or an arm has no column.

    References
    ----------
    Dudik, Langford & Li (2011), Proceedings of ICML 28, 1097-1104. doi:10.48550/arXiv.1103.4601
    Zhang et al. (2012), Biometrics 68(4), 1010-1018. doi:10.1111/j.1541-0420.2012.01763.x

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> round(policy_value_aipw(scores, ["CBT", "SSRI", "CBT", "CBT"]).value, 3)
    0.8
    """
    table = check_table("scores", scores)
    units = check_units(
        sample_weight, clusters, level, weights_are=weights_are, scores=scores, recommended=recommended
    )
    return mean_estimate(value_under(recommended, table), units, n_events=None)


def policy_value_direct(
    by_arm: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Outcome rate that the model itself predicts if every patient got the recommended arm.

    **No outcome is used.** If the rule picks the arm with the highest prediction, this value is too high
    even if each prediction is right on average (the winner's curse). The difference from `policy_value_aipw`
    shows by how much.

    Parameters
    ----------
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
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
        Proportion in [0, 1]; higher is better. The interval takes the predictions as correct and reflects
        only the sampling of patients. `n_events` is None.

    Raises
    ------
    InputError
        If lengths differ, a probability is outside [0, 1], or an arm has no column.

    References
    ----------
    Dudik, Langford & Li (2011), Proceedings of ICML 28, 1097-1104. doi:10.48550/arXiv.1103.4601
    Andrews, Kitagawa & McCloskey (2024), Quarterly Journal of Economics 139(1), 305-358.
    doi:10.1093/qje/qjad043

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4], "SSRI": [0.3, 0.6]})
    >>> policy_value_direct(by_arm, ["CBT", "SSRI"]).value
    0.55
    """
    table = check_by_arm("by_arm", by_arm)
    units = check_units(
        sample_weight, clusters, level, weights_are=weights_are, by_arm=by_arm, recommended=recommended
    )
    found = mean_estimate(value_under(recommended, table), units, n_events=None)
    return dataclasses.replace(found, method=f"{found.method}; rests on the model alone")


def policy_value(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    recommended: npt.ArrayLike,
    *,
    propensity: npt.ArrayLike | pd.DataFrame,
    method: Literal["hajek", "ipw"] = "hajek",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Outcome rate expected if every patient got the recommended arm, from the concordant patients.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received, recommended : array-like of shape (n_patients,)
        Arm labels.
    propensity : array-like of shape (n_patients,) or pandas.DataFrame of shape (n_patients, n_arms)
        Probability, in (0, 1], of the received arm (in a trial, the allocation ratio), or of each arm.
    method : {"hajek", "ipw"}, default "hajek"
        Weighted mean of the concordant patients with weights 1 / propensity ("hajek", self-normalized), or
        their weighted sum divided by the number of all patients ("ipw", Horvitz-Thompson).
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
        Proportion in [0, 1] ("ipw" may exceed 1); higher is better. Wald interval with the linearized
        standard error, not truncated to [0, 1]. NaN if no patient is concordant.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a label is missing or a propensity is outside (0, 1].

    References
    ----------
    Qian & Murphy (2011), Annals of Statistics 39(2), 1180-1210. doi:10.1214/10-AOS864
    Horvitz & Thompson (1952), Journal of the American Statistical Association 47, 663-685.
    doi:10.1080/01621459.1952.10483446

    Examples
    --------
    >>> received, recommended = ["CBT", "CBT", "SSRI", "SSRI"], ["CBT", "SSRI", "SSRI", "SSRI"]
    >>> round(policy_value([1, 0, 1, 0], received, recommended, propensity=[0.5] * 4).value, 3)
    0.667
    """
    check_choice("method", method, ["hajek", "ipw"])
    outcome = check_binary("y_true", y_true)
    patients = {"y_true": y_true, "received": received, "recommended": recommended, "propensity": propensity}
    units = check_units(sample_weight, clusters, level, weights_are=weights_are, **patients)
    labels = check_labels("received", received)
    probability = received_probability(propensity, labels)
    concordant = share_received(recommended, labels)
    weight = concordant / probability
    n_events = units.weights.count(outcome)
    mean_weight = float(units.weight @ weight / units.weight.sum())
    if not mean_weight:
        return not_estimable("no patient is concordant", n=units.n, n_events=n_events, level=units.level)
    if method == "ipw":
        return mean_estimate(weight * outcome, units, n_events=n_events)
    value = float(units.weight @ (weight * outcome) / units.weight.sum()) / mean_weight
    linearized = value + weight * (outcome - value) / mean_weight
    return mean_estimate(linearized, units, n_events=n_events)
