"""Inverse-probability weights: propensity of the received arm, and the effective sample size (Kish)."""

import numpy.typing as npt
import pandas as pd

from treatsel._checks import check_by_arm, check_vector, check_weights
from treatsel._stats.alignment import check_same_order
from treatsel._stats.by_arm_tables import received_probability
from treatsel._stats.vectors import check_labels, check_patients, effective_size
from treatsel.errors import InputError


def received_propensity(received: npt.ArrayLike, propensity: pd.DataFrame) -> pd.Series:
    """Probability of the arm that each patient received, from a by-arm table of propensities.

    Parameters
    ----------
    received : array-like of shape (n_patients,)
        Arm labels.
    propensity : pandas.DataFrame of shape (n_patients, n_arms)
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
    check_by_arm("propensity", propensity)
    check_patients(propensity=propensity, received=received)
    cells = received_probability(propensity, check_labels("received", received))
    return pd.Series(cells, index=propensity.index, name="propensity")


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
        A number of patients, from 1 to the number of weights above 0; higher is better.

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
    check_same_order(weights=weights, sample_weight=sample_weight)
    vector = check_vector("weights", weights)
    counts = check_weights("sample_weight", sample_weight, len(vector))
    if (vector < 0).any() or not (counts * vector).any():
        raise InputError(
            "weights must not be negative and must not all be zero; give 0 to excluded patients."
        )
    return effective_size(vector, counts)
