"""Who was still there at the end: weights that make up for outcomes that were not observed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray, check_binary, check_same_length
from treatsel._stats.vectors import effective_size
from treatsel.additive import Encoding
from treatsel.errors import InputError
from treatsel.models._assignment import Folds, check_folds
from treatsel.models.hierarchical import Hierarchy, Patients

LARGEST_WEIGHT = 10.0  # no observed patient stands for more than this many average ones of the arm
MOST_LEARNED = 200_000  # patients that one model learns from
_BLOCK = 50_000  # patients encoded at once for prediction


@dataclass(frozen=True, eq=False, kw_only=True)
class Observation:
    """How likely each patient's outcome was to be observed, and the weights that follow.

    Attributes
    ----------
    weights : Series of shape (n_patients,)
        0 for patients whose outcome was not observed; the others average 1, in each arm.
    probability : Series of shape (n_patients,)
        Cross-fitted probability that the outcome is observed, under the received arm; 1 in an arm where
        every outcome was.
    table : DataFrame of shape (n_arms, 7)
        Per arm: `n` patients, `n_observed`, their `share`, `smallest` and `largest` weight (NaN where
        nobody was observed), `n_truncated` weights and `effective_n`, Kish's effective sample size.
    """

    weights: pd.Series = field(repr=False)
    probability: pd.Series = field(repr=False)
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the table by arm."""
        return self.table.copy()


def observation_weights(
    covariates: pd.DataFrame, received: pd.Series, observed: Any, folds: Folds
) -> Observation:
    """Return inverse-probability-of-observation weights: stabilised, truncated, averaging 1.

    The hierarchical logistic regression of `HierarchicalClassifier`, of being observed on arm and
    covariates, cross-fitted. A weight is the share observed in the arm over the patient's probability; the
    numerator depends on the arm alone, which the outcome model conditions on, so it costs no bias and
    saves variance. Weights above 10 are lowered to it, and the weights of each arm scaled to average 1.
    (Truncation at the 1st and 99th percentile instead, simulated with 42 % lost, left up to a point of bias
    at every n and saved no variance.) An arm in which everybody was observed gets weights of exactly 1 and
    is no part of the model. One model learns from at most 200,000 patients, drawn at random.

    They remove the bias of dropout that depends on what was measured (missing at random), not of dropout
    that depends on the outcome itself.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns of all patients.
    received : Series of shape (n_patients,)
        Arm labels.
    observed : array-like of shape (n_patients,)
        Whether the outcome was observed, as booleans or 0/1.
    folds : sequence of (rest, fold)
        Positions among all patients, as from `balanced_folds`; each patient is predicted by a model
        fitted to the rest.

    Returns
    -------
    Observation

    Raises
    ------
    InputError
        If lengths differ, no outcome was observed, or the folds leave a patient out.

    References
    ----------
    Seaman & White (2013), Statistical Methods in Medical Research 22(3), 278-295.
    doi:10.1177/0962280210395740
    Robins, Hernan & Brumback (2000), Epidemiology 11(5), 550-560.
    doi:10.1097/00001648-200009000-00011 (stabilised weights)
    Cole & Hernan (2008), American Journal of Epidemiology 168(6), 656-664. doi:10.1093/aje/kwn164
    (truncation trades bias for variance)
    """
    check_same_length(covariates=covariates, received=received, observed=np.asarray(observed))
    seen = check_binary("observed", observed)
    check_folds(folds, len(received))
    if not seen.any():
        raise InputError(
            f"The outcome was observed in none of {len(seen)} patients; weights need at least one."
        )
    arms = pd.Index(sorted(received.unique(), key=str), name="arm")
    codes = arms.get_indexer(pd.Index(received))
    probability = _cross_fitted(covariates, codes, seen, folds)
    weights, rows = np.zeros(len(seen)), []
    for k in range(len(arms)):
        mine = np.flatnonzero((codes == k) & (seen == 1))
        weights[mine], n_truncated = _stabilised(probability[mine])
        rows.append(_row(int((codes == k).sum()), weights[mine], n_truncated))
    index = received.index
    return Observation(
        weights=pd.Series(weights, index=index, name="weight"),
        probability=pd.Series(probability, index=index, name="probability"),
        table=pd.DataFrame(rows, index=arms),
    )


def _stabilised(probability: FloatArray) -> tuple[FloatArray, int]:
    """Return weights of one arm's observed patients, averaging 1, and how many were truncated."""
    if not len(probability):
        return np.empty(0), 0
    weights = probability.min() / probability
    weights /= weights.mean()
    bounded = np.minimum(weights, LARGEST_WEIGHT)
    return bounded / bounded.mean(), int((weights > LARGEST_WEIGHT).sum())


def _row(n: int, weights: FloatArray, n_truncated: int) -> dict[str, float]:
    none = not len(weights)
    return {
        "n": n,
        "n_observed": len(weights),
        "share": len(weights) / n,
        "smallest": np.nan if none else float(weights.min()),
        "largest": np.nan if none else float(weights.max()),
        "n_truncated": n_truncated,
        "effective_n": effective_size(weights),
    }


def _cross_fitted(covariates: pd.DataFrame, codes: np.ndarray, seen: FloatArray, folds: Folds) -> FloatArray:
    """Return each patient's probability of being observed, from a model that never saw the patient."""
    n_lost = np.bincount(codes, weights=1 - seen)
    modelled = np.flatnonzero(n_lost)
    probability = np.ones(len(seen))
    if not len(modelled):
        return probability
    position = np.full(len(n_lost), -1)  # of an arm among those that lost somebody
    position[modelled] = np.arange(len(modelled))
    arms, inside = position[codes], position[codes] >= 0
    # what is learned here are means, scales, knots and categories, of covariates alone
    encoding = Encoding.learn(covariates, np.ones(len(covariates)), native_missing=False, knots=True)
    for rest, fold in folds:
        rest, fold = _drawn(rest[inside[rest]]), fold[inside[fold]]
        patients = Patients(
            covariates.iloc[rest],
            encoding,
            arms=arms[rest],
            y=seen[rest],
            weights=np.ones(len(rest)),
            n_arms=len(modelled),
        )
        terms = Hierarchy.learn(patients, encoding).terms
        for rows in np.array_split(fold, 1 + len(fold) // _BLOCK):
            logits = encoding.encode(covariates.iloc[rows]) @ terms[:, 1:].T + terms[:, 0]
            probability[rows] = expit(logits[np.arange(len(rows)), arms[rows]])
    return probability


def _drawn(rows: np.ndarray) -> np.ndarray:
    """Return at most ``MOST_LEARNED`` of the rows."""
    if len(rows) <= MOST_LEARNED:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MOST_LEARNED, replace=False))
