"""Policy value: the remission rate to expect if every patient got the recommended arm.

All intervals take propensities and outcome models as given; cross-fit them if they were estimated. Labels
of arms are matched with columns by name.
"""

from typing import Literal

import numpy.typing as npt
import pandas as pd

from treatsel._checks import check_binary, check_choice, check_probability, check_vector, check_weights
from treatsel._stats.by_arm_tables import cells_of, check_propensities, check_received_probability
from treatsel._stats.clustered_means import check_units, mean_estimate
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import check_labels, check_patients
from treatsel.errors import InputError
from treatsel.metrics._aipw import aipw_scores, arm_means, policy_value_aipw, policy_value_direct
from treatsel.metrics._concordant import ConcordantDifference, concordant_difference
from treatsel.metrics._gain import (
    gain_over_best_arm,
    gain_over_each_arm,
    gain_over_random,
    gain_over_received,
)
from treatsel.metrics._gain_results import Gain, Gains

__all__ = [
    "ConcordantDifference",
    "Gain",
    "Gains",
    "aipw_scores",
    "arm_means",
    "concordant_difference",
    "effective_sample_size",
    "gain_over_best_arm",
    "gain_over_each_arm",
    "gain_over_random",
    "gain_over_received",
    "policy_value",
    "policy_value_aipw",
    "policy_value_direct",
    "received_propensity",
]


def policy_value(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    recommended: npt.ArrayLike,
    *,
    propensity: npt.ArrayLike,
    method: Literal["hajek", "ipw"] = "hajek",
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Remission rate expected if every patient got the recommended arm, from the concordant patients.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Remission at endpoint, 0 or 1.
    received, recommended : array-like of shape (n_patients,)
        Arm labels.
    propensity : array-like of shape (n_patients,)
        Probability, in (0, 1], of the received arm; in a trial, the allocation ratio. From a by-arm table:
        `received_propensity`.
    method : {"hajek", "ipw"}, default "hajek"
        Weighted mean of the concordant patients with weights 1 / propensity ("hajek", self-normalised), or
        their weighted sum over the number of all patients ("ipw", Horvitz-Thompson).
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1] ("ipw" may exceed 1); higher is better. Wald interval with the linearised
        standard error, not cut off. NaN if no patient is concordant.

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
    probability = check_received_probability("propensity", check_probability("propensity", propensity))
    patients = {"y_true": y_true, "received": received, "recommended": recommended, "propensity": propensity}
    units = check_units(sample_weight, groups, level, **patients)
    concordant = check_labels("received", received) == check_labels("recommended", recommended)
    weight = concordant / probability
    n_events = round(float(units.weight @ outcome))
    mean_weight = float(units.weight @ weight / units.weight.sum())
    if not mean_weight:
        return not_estimable("no patient is concordant", n=units.n, n_events=n_events, level=units.level)
    if method == "ipw":
        return mean_estimate(weight * outcome, units, n_events=n_events)
    value = float(units.weight @ (weight * outcome) / units.weight.sum()) / mean_weight
    linearised = value + weight * (outcome - value) / mean_weight
    return mean_estimate(linearised, units, n_events=n_events)


def received_propensity(received: npt.ArrayLike, propensities: pd.DataFrame) -> pd.Series:
    """Probability of the arm that each patient received, from a by-arm table of propensities.

    Parameters
    ----------
    received : array-like of shape (n_patients,)
        Arm labels.
    propensities : pandas.DataFrame of shape (n_patients, n_arms)
        Probability of each arm, columns named by arm; rows sum to 1.

    Returns
    -------
    pandas.Series of shape (n_patients,)
        Probabilities in (0, 1], with the index of the table.

    Raises
    ------
    InputError
        If lengths differ, an arm has no column, rows do not sum to 1 or a received arm has probability 0.

    References
    ----------
    Rosenbaum & Rubin (1983), Biometrika 70(1), 41-55. doi:10.1093/biomet/70.1.41

    Examples
    --------
    >>> table = pd.DataFrame({"CBT": [0.4, 0.4], "SSRI": [0.6, 0.6]}, index=["p1", "p2"])
    >>> received_propensity(["SSRI", "CBT"], table).tolist()
    [0.6, 0.4]
    """
    columns = propensities.columns if isinstance(propensities, pd.DataFrame) else pd.Index([])
    checked = check_propensities(propensities, columns)
    check_patients(propensities=propensities, received=received)
    cells = cells_of("received", check_labels("received", received), checked)
    checked_cells = check_received_probability("propensities", cells)
    return pd.Series(checked_cells, index=checked.index, name="propensity")


def effective_sample_size(weights: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None) -> float:
    """Number of equally weighted patients with the same precision: (sum w)^2 / sum w^2 (Kish).

    Parameters
    ----------
    weights : array-like of shape (n_patients,)
        Weights of 0 or more, for example 1 / propensity for the concordant patients and 0 for the others.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.

    Returns
    -------
    float
        In patients, from 1 to the number of weights above 0; higher is better.

    Raises
    ------
    InputError
        If lengths differ, a weight is negative or missing, or all are zero.

    References
    ----------
    Kish (1965), Survey Sampling, section 11.7; Kong, Liu & Wong (1994), Journal of the American Statistical
    Association 89, 278-288. doi:10.1080/01621459.1994.10476469

    Examples
    --------
    >>> effective_sample_size([2.0, 2.0, 0.0])
    2.0
    """
    vector = check_vector("weights", weights)
    counts = check_weights("sample_weight", sample_weight, len(vector))
    if (vector < 0).any() or not (counts * vector).any():
        raise InputError(
            "weights must not be negative and must not all be zero; give 0 to left-out patients."
        )
    scaled = vector / vector.max()
    return float((counts @ scaled) ** 2 / (counts @ scaled**2))
