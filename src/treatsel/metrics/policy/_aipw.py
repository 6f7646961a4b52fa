"""Doubly robust scores and their means; public through `treatsel.metrics.policy`."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_by_arm, check_probability, count_of
from treatsel._stats.by_arm_tables import (
    check_received_probability,
    check_table,
    positions_of,
    received_probability,
    share_of_arm,
    warn_of_no_overlap,
)
from treatsel._stats.clustered_means import MIN_CLUSTERS, Mean, Units, check_units, mean_of
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import Interval, two_sided_p, wald
from treatsel._stats.vectors import check_labels, check_patients
from treatsel._stats.weights import WeightsAre


def aipw_scores(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    propensity: npt.ArrayLike | pd.DataFrame,
    *,
    observation: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Doubly robust score of each patient under each arm; its mean estimates the outcome rate under that arm.

    Prediction plus, for the received arm only, (outcome - prediction) / propensity. Unbiased if either the
    predictions or the propensities are correct. With `observation`, the score of a patient without observed
    outcome is the prediction alone, and the residuals of the others are also divided by the probability of
    being observed.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1; with `observation` also NaN (not observed).
    received : array-like of shape (n_patients,)
        Arm labels.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm. The predictions must not
        come from a model fitted to these patients, unless out of fold.
    propensity : pandas.DataFrame of shape (n_patients, n_arms) or array-like of shape (n_patients,)
        Probability of receiving each arm, rows summing to 1 (within 1e-6), or only that of the received
        arm; above 0 for the received arm. With a table, lack of overlap is also checked.
    observation : array-like of shape (n_patients,), optional
        Probability, in (0, 1], that the outcome is observed, under the received arm.

    Returns
    -------
    pandas.DataFrame of shape (n_patients, n_arms)
        Scores, with index and columns of `by_arm`; single scores may lie far outside [0, 1].

    Raises
    ------
    InputError
        If lengths or arms differ, an outcome is not 0/1, a probability is outside [0, 1], a row of
        a table of propensities does not sum to 1, or a received arm has propensity 0.

    Warns
    -----
    TreatselWarning
        If a patient could not have received some arm (propensity 0).

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4], "SSRI": [0.3, 0.6]})
    >>> propensity = pd.DataFrame({"CBT": [0.5, 0.5], "SSRI": [0.5, 0.5]})
    >>> aipw_scores([1, 0], ["CBT", "SSRI"], by_arm, propensity).round(2).to_numpy().tolist()
    [[1.5, 0.3], [0.4, -0.6]]
    """
    predicted = check_by_arm("by_arm", by_arm)
    check_patients(by_arm=by_arm, propensity=propensity, y_true=y_true, received=received)
    outcome = check_binary("y_true", y_true, allow_missing=observation is not None)
    labels = check_labels("received", received)
    own = received_probability(propensity, labels, predicted.columns)
    if observation is not None:
        check_patients(by_arm=by_arm, observation=observation)
        own = own * check_received_probability("observation", check_probability("observation", observation))
    if isinstance(propensity, pd.DataFrame):
        warn_of_no_overlap(propensity)
    scores = predicted.to_numpy(dtype=float, copy=True)
    rows, columns = np.arange(len(scores)), positions_of("received", labels, predicted.columns)
    # score = m_a + 1(A = a) (y - m_a) / e_a, with prediction m and propensity e; its mean estimates E[Y(a)]
    residual = np.nan_to_num(outcome - scores[rows, columns])
    scores[rows, columns] += residual / own
    return pd.DataFrame(scores, index=predicted.index, columns=predicted.columns)


def arm_means(
    scores: pd.DataFrame,
    *,
    received: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> pd.DataFrame:
    """Outcome rate expected if every patient got the same arm, for each arm.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    received : array-like of shape (n_patients,), optional
        Labels of the received arms. With `clusters`, the interval of an arm rests on the clusters in which
        it was received: of fewer than 10 and not all, the larger of the cluster-robust and the plain standard
        error is used, with Student's t for that number; of one, there is no interval. Without `received`,
        every arm is taken to have been received in all clusters.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t; of fewer than
        10, with a small-sample correction (CR2, Satterthwaite's degrees of freedom).
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    pandas.DataFrame of shape (n_arms, 6)
        One row per arm; columns value (a proportion; higher is better), lower, upper, se, n, method. NaN
        limits where there is no interval; `method` gives the reason.

    Raises
    ------
    InputError
        If lengths differ or a score is not finite.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818
    MacKinnon & Webb (2017), Journal of Applied Econometrics 32(2), 233-254. doi:10.1002/jae.2508 (few
    treated clusters: cluster-robust standard errors are far too small)

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> arm_means(scores)["value"].to_dict()
    {'CBT': 0.65, 'SSRI': 0.5}
    """
    table = check_table("scores", scores)
    units = check_units(
        sample_weight, clusters, level, weights_are=weights_are, scores=scores, received=received
    )
    rows = {}
    for arm in table.columns:
        mean = mean_of(table[arm].to_numpy(dtype=float), units)
        if received is not None and units.codes is not None:
            mean = _of_few_clusters(
                mean, table[arm].to_numpy(dtype=float), units, share_of_arm(received, arm)
            )
        limits = {"lower": mean.limits.lower, "upper": mean.limits.upper}
        rows[arm] = {"value": mean.value, **limits, "se": mean.se, "n": units.n, "method": mean.method}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="arm")


def _of_few_clusters(mean: Mean, values: FloatArray, units: Units, received: FloatArray) -> Mean:
    """Return the mean of an arm with an interval that rests on the clusters in which it was received.

    The sum of an arm's residuals over clusters is 0 by chance where the arm was received in one or a few of
    them: a cluster-robust standard error then shows how well the model fits there, not how uncertain it is.
    """
    codes: Any = units.codes
    count = len(np.unique(codes[(received > 0) & (units.weight > 0)]))
    if count >= MIN_CLUSTERS or count == units.n_clusters:
        return mean
    if count < 2:
        reason = f"no interval: the arm was received in {count_of(count, 'cluster')} of {units.n_clusters}"
        return replace(mean, se=NAN, limits=Interval(NAN, NAN), p_value=NAN, method=reason)
    se = max(mean.se, mean_of(values, replace(units, codes=None)).se)
    df = count - 1
    return replace(
        mean,
        se=se,
        limits=wald(mean.value, se, units.level, df=df),
        p_value=two_sided_p(mean.value, se, df=df),
        method=f"Wald, larger of plain and cluster-robust, arm received in {count} clusters, t with {df} df",
    )
