"""Assignment model, and doubly robust means by arm, which determine the best single arm."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._stats.folds import balanced_folds
from treatsel.metrics import aipw_scores, arm_means
from treatsel.models import AdditiveModel, Assignment, assess_assignment, randomized_probabilities
from treatsel.selector._outcome import FittedOutcome

AVERAGED_ROWS = 1000  # patients over whom the draws are averaged: bounds the time
BLOCK = 250  # of them at once: bounds the memory


def learn_assignment(X: pd.DataFrame, arm: str, *, groups: pd.Series | None, random_state: Any) -> Assignment:
    """Cross-fit the assignment model on all patients; X holds the covariates and the arm."""
    folds = balanced_folds(X[arm], np.zeros(len(X)), groups=groups, random_state=random_state)
    return assess_assignment(X.drop(columns=arm), X[arm], folds)


def doubly_robust_arm_means(
    fitted: FittedOutcome,
    y: pd.Series,
    received: pd.Series,
    assignment: Assignment,
    *,
    randomized: bool,
    good: bool,
    clusters: pd.Series | None,
    among: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the rate of the good outcome, by arm, if all patients received the arm: value, lower, upper, ...

    `among`: the patients who are meant; None: all.
    A stated shift of lost outcomes moves the means by what it adds to the model's probabilities.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), JASA 89(427), 846-866. doi:10.1080/01621459.1994.10476818
    """
    propensities = assignment.probabilities
    if randomized or propensities is None:
        # shares among those who may receive every arm: others were not randomized between all of them
        shares = randomized_probabilities(received if among is None else received[among])
        propensities = shares.reindex(received.index).fillna(shares.iloc[0])
    table = fitted.cross_fitted if good else 1 - fitted.cross_fitted
    scores = aipw_scores(
        y if good else 1 - y,
        received,
        table,
        propensities[table.columns],
        observation=_observation_probability(fitted, received),
    )
    if fitted.shifted_by is not None:
        scores = scores + (1 if good else -1) * fitted.shifted_by[scores.columns]
    if among is not None:
        scores, received = scores[among], received[among]
        clusters = None if clusters is None else clusters[among]
    return arm_means(scores, received=received, clusters=clusters)


def probability_of_best(model: AdditiveModel | None, X: pd.DataFrame, *, good: bool) -> pd.Series:
    """Return the posterior probability that each arm has the highest mean over the patients.

    At the average site; by arm. Empty for a model without posterior draws.
    """
    if model is None or model.coefficient_draws is None:
        return pd.Series(dtype="float64")
    rows = np.unique(np.linspace(0, len(X) - 1, min(len(X), AVERAGED_ROWS)).astype(int))
    total = np.zeros((len(model.coefficient_draws), len(model.arms_)))
    for part in np.array_split(rows, -(-len(rows) // BLOCK)):
        total += model.predict_draws(X.iloc[part], "average").sum(axis=1)
    best = (total if good else -total).argmax(axis=1)
    return pd.Series(np.bincount(best, minlength=total.shape[1]) / len(total), index=model.arms_)


def _observation_probability(fitted: FittedOutcome, received: pd.Series) -> FloatArray:
    """Return the probability of observation implied by the (truncated) weights; 1 without weights."""
    if fitted.observation is None or fitted.observation.weights is None:
        return np.ones(len(received))
    share = received.map(fitted.observation.table["share"]).to_numpy(dtype=float)
    weights = fitted.observation.weights.to_numpy()
    return np.asarray(np.clip(share / np.where(weights > 0, weights, 1.0), 1e-6, 1.0))
