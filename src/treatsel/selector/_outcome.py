"""Fit the model of one outcome, with observation weights, cross-fitted predictions and performance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from treatsel._checks import FloatArray
from treatsel._disclosure import events_stated, is_disclosive
from treatsel._stats.by_arm_tables import cells_of
from treatsel._stats.folds import balanced_folds, seed_of
from treatsel.additive import additive_of
from treatsel.errors import InputError, warn
from treatsel.metrics import brier_score, log_loss, within_arm_auc
from treatsel.model_selection import held_out_predictions
from treatsel.models import AdditiveModel, Observation, PooledClassifier, observation_weights
from treatsel.selector._fit import (
    arguments_of,
    check_trainable,
    fit_model,
    knows_groups,
    model_of,
)

# C of the baseline. Of 0.003, 0.03 and 0.3, cross-fitted log-loss is lowest with 0.03 in 28 of 40 simulated
# outcomes (make_cohort, 300 to 10,000 patients), and otherwise at most 0.013 above the lowest of the three.
PENALTY = 0.03
# Prior SD of effect modification relative to that of prognosis: effects vary much less than outcomes do.
INTERACTION_SCALE = 0.3
MAX_NEWTON = 1000  # terms up to which Newton's method is faster than L-BFGS, and its matrix is small
MAX_COMPARED = 20_000  # patients in whom model and baseline are compared: bounds the time for large cohorts
MIN_VALUES = 200  # known values that a column needs in such a sample; with fewer, a fold may have none


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FittedOutcome:
    """A fitted model, its cross-fitted predictions and its performance.

    Attributes
    ----------
    model : model
        Fitted to the patients whose outcome was observed.
    additive : AdditiveModel or None
        The same model in additive form (a sum of terms); None if it has no such form.
    cross_fitted : DataFrame of shape (n_patients, n_arms)
        Predictions for each patient by a model fitted without that patient's outcome.
    observation : Observation or None
        Weights that account for missing outcomes; None if all outcomes were observed.
    performance : DataFrame
        Cross-fitted performance of model and baseline: predictor, metric, value, lower, upper, n.
    excess : dict of str to (float, float)
        Mean difference in log-loss between the model and each comparator, and its standard error.
    """

    model: Any
    additive: AdditiveModel | None
    cross_fitted: pd.DataFrame
    observation: Observation | None
    performance: pd.DataFrame
    excess: dict[str, tuple[float, float]]

    def figure(self, metric: str, predictor: str = "model") -> float:
        """Return a performance measure of the model, or of the baseline."""
        rows = self.performance
        return float(rows.loc[(rows["predictor"] == predictor) & (rows["metric"] == metric), "value"].iloc[0])


def learn_outcome(
    X: pd.DataFrame,
    y: pd.Series,
    score: pd.Series | None,
    *,
    arm: str,
    arms: list[Any],
    groups: pd.Series | None,
    estimator: Any,
    random_state: Any,
    n_jobs: int | None,
) -> FittedOutcome:
    """Fit the model of one outcome; X holds the covariates and the arm, y holds 0, 1 or NaN.

    `score`: the signed distance from the definition of the outcome, if it rests on a score.
    """
    if y.isna().all():
        raise InputError(f"Outcome {y.name!r} was not observed in any patient.")
    seed = seed_of(random_state)
    # without a seed, draw one, so that all splits below are the same
    seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    seen = y.notna().to_numpy()
    observation = _observation(X, y, arm, groups, seed)
    weights = None if observation is None else _informative(observation, X[arm])[seen]
    target, there = y[seen].to_numpy(dtype=float), X[seen]
    sites = None if groups is None else groups[seen]
    folds = balanced_folds(there[arm], target, groups=sites, random_state=seed)
    check_trainable(there, pd.Series(target, there.index, name=y.name), arm, arms, folds)
    unfitted = model_of(estimator, arm, None if groups is None else str(groups.name))
    with_sites = there
    if sites is not None and knows_groups(unfitted):
        with_sites = there.assign(**{str(sites.name): sites})
    known = None if score is None else score[seen].to_numpy(dtype=float)
    passed = arguments_of(unfitted, weights, known)
    model = fit_model(unfitted, with_sites, target, sites, **passed)
    by_arm = getattr(model, "cross_fitted_", None)
    if by_arm is None:
        by_arm = held_out_predictions(model, with_sites, target, folds, n_jobs=n_jobs, **passed)
    if not seen.all():
        by_arm = pd.concat([by_arm, model.predict_by_arm(X[~seen])]).loc[X.index]
    performance, excess = _performance(by_arm[seen], there, target, arm, sites, seed, n_jobs)
    return FittedOutcome(
        model=model,
        additive=additive_of(model),
        cross_fitted=by_arm[arms],
        observation=observation,
        performance=performance,
        excess=excess,
    )


def _observation(
    X: pd.DataFrame, y: pd.Series, arm: str, groups: pd.Series | None, seed: int | None
) -> Observation | None:
    """Return observation weights; None if every outcome was observed."""
    seen = y.notna()
    if seen.all():
        return None
    n = int((~seen).sum())
    share = "" if is_disclosive(n, len(y)) else f" ({n / len(y):.0%})"
    warn(
        f"Outcome {y.name!r} was not observed in {events_stated(n, len(y))} patients{share}. The other "
        "patients are weighted to represent all; this is unbiased only if observation depends on arm and "
        "covariates alone. See observation_.",
    )
    folds = balanced_folds(X[arm], seen.to_numpy(dtype=float), groups=groups, random_state=seed)
    return observation_weights(X.drop(columns=arm), X[arm], seen, folds)


def _informative(observation: Observation, received: pd.Series) -> FloatArray:
    """Return the weights scaled to the effective sample size of each arm.

    A likelihood with weights that sum to n counts n patients, so the posterior would be too narrow.
    """
    share = observation.table["effective_n"] / observation.table["n_observed"].clip(lower=1)
    return np.asarray(observation.weights * received.map(share).to_numpy(dtype=float))


def _performance(
    by_arm: pd.DataFrame,
    X: pd.DataFrame,
    y: FloatArray,
    arm: str,
    groups: pd.Series | None,
    seed: int,
    n_jobs: int | None,
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Compare the model's cross-fitted predictions with those of a ridge logistic regression.

    Also returned: the mean difference in log-loss from the baseline and from the base rate, with its standard
    error.
    """
    rows = _compared(X[arm], y)
    X, y, by_arm = X.iloc[rows], y[rows], by_arm.iloc[rows]
    if len(rows) >= MAX_COMPARED:  # in a sample, a column that is mostly missing may be empty
        X = X.loc[:, X.notna().sum() >= MIN_VALUES]
    sites = None if groups is None else groups.iloc[rows]
    received = X[arm]
    folds = balanced_folds(received, y, groups=sites, random_state=seed)
    n_terms = (X.shape[1] - 1) * (1 + received.nunique())
    solver = "newton-cholesky" if n_terms <= MAX_NEWTON else "lbfgs"
    ridge = LogisticRegression(C=PENALTY, solver=solver, tol=1e-4, max_iter=1000)
    baseline = PooledClassifier(ridge, arm=arm, interaction_scale=INTERACTION_SCALE)
    predictions = {"model": by_arm, "baseline": held_out_predictions(baseline, X, y, folds, n_jobs=n_jobs)}
    own = {name: _own(table, received) for name, table in predictions.items()}
    rows_of = [_figures(name, y, p, received) for name, p in own.items()]
    others = {"the baseline": own["baseline"], "the base rate": np.full(len(y), y.mean())}
    excess = {name: _excess_loss(y, own["model"], p) for name, p in others.items()}
    return pd.concat(rows_of, ignore_index=True), excess


def _excess_loss(y: FloatArray, p: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Return the mean difference in log-loss between two predictions of the same patients, and its SE."""
    difference = np.where(y == 1, np.log(other) - np.log(p), np.log1p(-other) - np.log1p(-p))
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(y)))


def _compared(received: pd.Series, y: FloatArray) -> np.ndarray:
    """Return the rows in which model and baseline are compared.

    All patients, or a sample that includes all patients with a rare combination of arm and outcome (fewer
    than 200 patients).
    """
    if len(y) <= MAX_COMPARED:
        return np.arange(len(y))
    parts = balanced_folds(received, y, n_splits=-(-len(y) // MAX_COMPARED), random_state=0)
    cell = pd.Series(pd.factorize(received)[0] * 2 + y)
    rare = np.flatnonzero(cell.map(cell.value_counts()) < MAX_COMPARED // 100)
    return np.union1d(parts[0][1], rare)


def _own(by_arm: pd.DataFrame, received: pd.Series) -> FloatArray:
    """Return the probability under the received arm, at least 1e-6 from 0 and 1 (for a finite log-loss)."""
    return np.asarray(np.clip(cells_of("received", received.to_numpy(dtype=object), by_arm), 1e-6, 1 - 1e-6))


def _figures(predictor: str, y: FloatArray, p: FloatArray, received: pd.Series) -> pd.DataFrame:
    estimates = {
        "log_loss": log_loss(y, p),
        "brier_score": brier_score(y, p),
        "within_arm_auc": within_arm_auc(y, p, received),
    }
    return pd.DataFrame(
        [
            {
                "predictor": predictor,
                "metric": name,
                "value": estimate.value,
                "lower": estimate.lower,
                "upper": estimate.upper,
                "n": estimate.n,
            }
            for name, estimate in estimates.items()
        ]
    )
