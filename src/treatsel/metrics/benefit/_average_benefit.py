"""Average benefit of one arm over another, doubly robust."""

from collections.abc import Hashable
from typing import Any

import numpy.typing as npt
import pandas as pd

from treatsel._stats.clustered_means import mean_estimate
from treatsel._stats.estimate import Estimate
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.benefit._arm_pair import benefit_scores, check_pair


def average_benefit(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    propensity: npt.ArrayLike | pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Average benefit of one arm over another, from doubly robust scores of the patients who received either.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, from a model that has not seen these patients.
    propensity : pandas.DataFrame of shape (n_patients, n_arms) or array-like of shape (n_patients,)
        Probability of receiving each arm; rows sum to 1; renormalized to the two arms. If `by_arm` has only
        two arms, the probability of the received arm is enough.
    control, treated : label
        The two arms.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, for a cluster-robust standard error with Student's t.
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
        Outcome rate under `treated` minus that under `control`, a difference of proportions; above 0,
        `treated` is better on average. `se` is sd / sqrt(n).

    Raises
    ------
    InputError
        If lengths differ, an arm has no column or no patient, or a received arm has propensity 0.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4], "SSRI": [0.3, 0.6]})
    >>> even = pd.DataFrame({"CBT": [0.5, 0.5], "SSRI": [0.5, 0.5]})
    >>> round(average_benefit([1, 0], ["CBT", "SSRI"], by_arm, even, control="CBT", treated="SSRI").value, 2)
    -1.1
    """
    labels: dict[str, Any] = {"control": control, "treated": treated}
    pair = check_pair(
        y_true,
        received,
        by_arm,
        **labels,
        sample_weight=sample_weight,
        weights_are=weights_are,
        clusters=clusters,
        level=level,
    )
    return mean_estimate(benefit_scores(pair, by_arm, propensity), pair.units, n_events=pair.n_events)
