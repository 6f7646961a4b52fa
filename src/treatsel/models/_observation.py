"""Inverse-probability-of-observation weights."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray, check_binary, check_same_length, count_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.vectors import effective_size
from treatsel.additive import Encoding
from treatsel.errors import InputError
from treatsel.models._assignment import Folds, check_folds
from treatsel.models.hierarchical import Hierarchy, Patients, select_covariates

# Truncation trades bias for variance (Cole & Hernan 2008). A fixed bound of 10 times the mean leaves most
# weights unchanged; truncation at the 1st and 99th percentiles, simulated with 42 % missing, left up to one
# point of bias at every n and did not reduce variance.
MAX_WEIGHT = 10.0
MAX_FITTED = 200_000  # patients to whom one model is fitted: bounds the time; its error is then negligible
# Guessed prior SDs, in logits: outcomes are often lost together with answers at the start, so that missing
# indicators (and categories, such as services) say much more than they do about an outcome.
PROGNOSIS = {"number": 0.2, "category": 0.3, "missing": 0.6, "hinge": 0.08}
_BLOCK = 50_000  # patients encoded at once for prediction: bounds memory


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Observation(Summarized):
    """Probability that each patient's outcome is observed, and inverse-probability weights.

    Attributes
    ----------
    weights : Series of shape (n_patients,)
        0 for patients whose outcome was not observed; the mean of the others is 1 in each arm. None for a
        model from a file, which holds no patients.
    probability : Series of shape (n_patients,)
        Cross-fitted probability that the outcome is observed, under the received arm; 1 in an arm in which
        every outcome was observed.
    table : DataFrame of shape (n_arms, 7)
        Per arm: `n` patients; `n_observed`, those whose outcome was observed; their `share`; `smallest` and
        `largest` weight (NaN if no outcome was observed); `n_truncated` weights; and `effective_n`, Kish's
        effective sample size. A model loaded from a file has no `smallest` and `largest`.
    """

    weights: pd.Series | None = field(repr=False)
    probability: pd.Series | None = field(repr=False)
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the table by arm."""
        return self.table.copy()


def observation_weights(
    covariates: pd.DataFrame, received: pd.Series, observed: Any, folds: Folds
) -> Observation:
    """Return inverse-probability-of-observation weights: stabilized, truncated, with mean 1.

    The probability of observation given arm and covariates is modeled by the hierarchical logistic
    regression of `HierarchicalClassifier`, cross-fitted. A weight is the share observed in the arm divided by
    the patient's probability. The numerator depends on the arm alone, on which the outcome model conditions;
    it therefore reduces variance without adding bias. Weights above 10 are truncated, and the weights of each
    arm rescaled to mean 1. An arm in which every outcome was observed has weights of exactly 1 and is not
    part of the model. One model is fitted to at most 200,000 patients, sampled at random.

    The weights remove bias if observation depends on arm and covariates alone (missing at random), but not if
    it depends on the outcome itself.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns of all patients.
    received : Series of shape (n_patients,)
        Arm labels.
    observed : array-like of shape (n_patients,)
        Whether the outcome was observed, as booleans or 0/1.
    folds : sequence of (rest, fold)
        Positions of the rest and of the fold among all patients, as in
        ``list(KFold().split(covariates))`` of scikit-learn; each patient is predicted by a model fitted to
        the rest.

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
    doi:10.1097/00001648-200009000-00011 (stabilized weights)
    Cole & Hernan (2008), American Journal of Epidemiology 168(6), 656-664. doi:10.1093/aje/kwn164
    (truncation trades bias for variance)
    """
    check_same_length(covariates=covariates, received=received, observed=np.asarray(observed))
    seen = check_binary("observed", observed)
    check_folds(folds, len(received))
    if not seen.any():
        raise InputError(
            f"The outcome was observed in none of {count_of(len(seen), 'patient')}; at least one is needed."
        )
    arms = pd.Index(sorted(received.unique(), key=str), name="arm")
    codes = arms.get_indexer(pd.Index(received))
    probability = _cross_fitted(covariates, codes, seen, folds)
    weights, rows = np.zeros(len(seen)), []
    for k in range(len(arms)):
        mine = np.flatnonzero((codes == k) & (seen == 1))
        weights[mine], n_truncated = _stabilized(probability[mine])
        rows.append(_row(int((codes == k).sum()), weights[mine], n_truncated))
    index = received.index
    return Observation(
        weights=pd.Series(weights, index=index, name="weight"),
        probability=pd.Series(probability, index=index, name="probability"),
        table=pd.DataFrame(rows, index=arms),
    )


def _stabilized(probability: FloatArray) -> tuple[FloatArray, int]:
    """Return weights of one arm's observed patients, with mean 1, and how many were truncated."""
    if not len(probability):
        return np.empty(0), 0
    weights = probability.min() / probability  # scaled, so that a tiny probability cannot overflow
    weights /= weights.mean()
    bounded = np.minimum(weights, MAX_WEIGHT)
    return bounded / bounded.mean(), int((weights > MAX_WEIGHT).sum())


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
    """Return each patient's probability of observation, from a model fitted without the patient's fold."""
    n_lost = np.bincount(codes, weights=1 - seen)
    modeled = np.flatnonzero(n_lost)
    probability = np.ones(len(seen))
    if not len(modeled):
        return probability
    position = np.full(len(n_lost), -1)  # of an arm among the arms with missing outcomes
    position[modeled] = np.arange(len(modeled))
    arms, inside = position[codes], position[codes] >= 0
    # means, scales, knots and categories of the covariates alone: no outcome leaks into the folds
    ones = np.ones(len(covariates))
    names, hinges = select_covariates(covariates[inside], arms[inside], seen[inside], ones[inside])
    covariates = covariates[names]
    encoding = Encoding.of_cohort(covariates, ones, native_missing=False, knots=hinges, logs=True)
    for rest, fold in folds:
        rest, fold = _sampled(rest[inside[rest]]), fold[inside[fold]]
        patients = Patients(
            covariates.iloc[rest],
            encoding,
            arms=arms[rest],
            y=seen[rest],
            weights=np.ones(len(rest)),
            n_arms=len(modeled),
        )
        terms = Hierarchy.learn(patients, encoding, PROGNOSIS).terms
        for rows in np.array_split(fold, 1 + len(fold) // _BLOCK):
            logits = encoding.encode(covariates.iloc[rows]) @ terms[:, 1:].T + terms[:, 0]
            probability[rows] = expit(logits[np.arange(len(rows)), arms[rows]])
    return probability


def _sampled(rows: np.ndarray) -> np.ndarray:
    """Return a fixed random sample of at most ``MAX_FITTED`` of the rows."""
    if len(rows) <= MAX_FITTED:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MAX_FITTED, replace=False))
