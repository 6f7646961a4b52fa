"""Fit the model of one outcome, with observation weights, cross-fitted predictions and performance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from treatsel._checks import FloatArray
from treatsel._stats.by_arm_tables import cells_of
from treatsel._stats.folds import balanced_folds, seed_of
from treatsel.additive import additive_of
from treatsel.errors import InputError
from treatsel.metrics import brier_score, calibration_slope, log_loss, within_arm_auc
from treatsel.model_selection import held_out_predictions
from treatsel.models import (
    AdditiveModel,
    JointDraws,
    LossTest,
    Observation,
    PooledClassifier,
    Priors,
)
from treatsel.selector._fit import check_trainable, model_of
from treatsel.selector._fitting import PatientData, Treatment, shifted
from treatsel.selector._lost import FEWEST_BEYOND, Missing, observation_of, test_of_loss

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
    loss : LossTest or None
        Test of whether the loss of outcomes depends on process columns; None without loss or such columns.
    performance : DataFrame
        Cross-fitted performance of model and baseline: predictor, metric, value, lower, upper, n.
    excess : dict of str to (float, float)
        Mean difference in log-loss between the model and each comparator, and its standard error.
    slopes : dict of str to (float, float)
        Slope of the cross-fitted logit, and its standard error, at thresholds of the score; empty without a
        score.
    shifted_by : DataFrame of shape (n_patients, n_arms) or None
        What the stated shift of lost outcomes adds to each probability of the model; None without a shift.
        The cross-fitted predictions, which are compared with observed outcomes, are those before the shift.
    """

    model: Any
    additive: AdditiveModel | None
    cross_fitted: pd.DataFrame
    observation: Observation | None
    loss: LossTest | None
    performance: pd.DataFrame
    excess: dict[str, tuple[float, float]]
    slopes: dict[str, tuple[float, float]]
    shifted_by: pd.DataFrame | None

    def figure(self, metric: str, predictor: str = "model") -> float:
        """Return a performance measure of the model, or of the baseline."""
        rows = self.performance
        return float(rows.loc[(rows["predictor"] == predictor) & (rows["metric"] == metric), "value"].iloc[0])


def learn_outcome(
    X: pd.DataFrame,
    y: pd.Series,
    score: pd.Series | None,
    process: pd.DataFrame,
    sessions: pd.DataFrame,
    *,
    missing: Missing,
    good: bool,
    unit: float | None,
    arm: str,
    arms: list[Any],
    groups: pd.Series | None,
    therapists: pd.Series | None,
    clusters: pd.Series | None,
    estimator: Any,
    priors: Priors | None,
    keep_therapists: bool,
    joint: JointDraws | None,
    random_state: Any,
    n_jobs: int | None,
) -> FittedOutcome:
    """Fit the model of one outcome; X holds the covariates and the arm, y holds 0, 1 or NaN.

    `score`: the signed distance from the definition of the outcome, if it rests on a score, and `unit`: the
    points of the score in a distance of 1. `process`: columns observed after the start, which say who was
    lost, and are used unless `missing` says otherwise. `sessions`: interim scores that `missing` may name.
    `clusters`: whose patients are in the same fold. `joint`: random numbers of the draws, with several
    outcomes.
    """
    if y.isna().all():
        raise InputError(f"Outcome {y.name!r} was not observed in any patient.")
    seed = _seed(random_state)
    data = PatientData(X, y, score, groups, therapists, clusters, arm)
    seen = data.seen
    folds = balanced_folds(X[seen][arm], data.target, groups=data.seen_clusters, random_state=seed)
    check_trainable(X[seen], pd.Series(data.target, X.index[seen], name=y.name), arm, arms, folds)
    loss = test_of_loss(X, y, process, arm=arm, groups=clusters, seed=seed)
    process = missing.used(process, sessions)
    unfitted = model_of(estimator, arm, _name(groups), _name(therapists), priors, keep_therapists, joint)
    treatment = Treatment.of(unfitted, process, y, X[arm], imputes=bool(missing.interim))
    observation = observation_of(X, y, process, treatment.text, arm=arm, groups=clusters, seed=seed)
    model, by_arm = treatment.fit(data, unfitted, process, folds, seed, n_jobs)
    weights = None
    if treatment.uses_process and observation is not None and observation.weights is not None:
        weights = observation.weights[seen]
    performance, excess = _performance(
        by_arm[seen], X[seen], data.target, arm, data.seen_clusters, weights, seed, n_jobs
    )
    own, shifted_by = _own(by_arm[seen], X[seen][arm]), None
    if y.name in missing.shifts and not seen.all():
        shift = missing.logits_of(str(y.name), good=good, score=data.known_score, unit=unit, p=own)
        model, shifted_by = shifted(data, model, process, shift)
    return FittedOutcome(
        model=model,
        additive=additive_of(model),
        cross_fitted=by_arm[arms],
        observation=observation,
        loss=loss,
        performance=performance,
        excess=excess,
        slopes={} if score is None else _slopes(score[seen], own),
        shifted_by=shifted_by,
    )


def _seed(random_state: Any) -> int:
    """Return a seed: without one, a random one, so that all splits are the same."""
    seed = seed_of(random_state)
    return int(np.random.default_rng().integers(2**31)) if seed is None else seed


def _slopes(score: pd.Series, p: FloatArray) -> dict[str, tuple[float, float]]:
    """Return the calibration slope at the target and at the middle of the scores on each side of it."""
    known = score.notna().to_numpy()
    values, p = score.to_numpy(dtype=float)[known], p[known]
    sides = values[values < 0], values[values > 0]
    if min(map(len, sides)) < 2 * FEWEST_BEYOND:
        return {}
    cuts = {"worse": np.median(sides[0]), "target": 0.0, "better": np.median(sides[1])}
    found = {name: calibration_slope((values > cut).astype(float), p) for name, cut in cuts.items()}
    return {name: (float(one.value), float(one.se)) for name, one in found.items()}


def _name(column: pd.Series | None) -> str | None:
    return None if column is None else str(column.name)


def _performance(
    by_arm: pd.DataFrame,
    X: pd.DataFrame,
    y: FloatArray,
    arm: str,
    groups: pd.Series | None,
    weights: pd.Series | None,
    seed: int,
    n_jobs: int | None,
) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Compare the model's cross-fitted predictions with those of a ridge logistic regression.

    `weights` represent the patients whose outcome was not observed, in the comparison and in the baseline.
    Also returned: the mean difference in log-loss from the baseline and from the base rate, with its standard
    error.
    """
    rows = _compared(X[arm], y)
    X, y, by_arm = X.iloc[rows], y[rows], by_arm.iloc[rows]
    passed = {} if weights is None else {"sample_weight": weights.to_numpy(dtype=float)[rows]}
    if len(rows) >= MAX_COMPARED:  # in a sample, a column that is mostly missing may be empty
        X = X.loc[:, X.notna().sum() >= MIN_VALUES]
    sites = None if groups is None else groups.iloc[rows]
    received = X[arm]
    folds = balanced_folds(received, y, groups=sites, random_state=seed)
    n_terms = (X.shape[1] - 1) * (1 + received.nunique())
    solver = "newton-cholesky" if n_terms <= MAX_NEWTON else "lbfgs"
    ridge = LogisticRegression(C=PENALTY, solver=solver, tol=1e-4, max_iter=1000)
    baseline = PooledClassifier(ridge, arm=arm, interaction_scale=INTERACTION_SCALE)
    of_baseline = held_out_predictions(baseline, X, y, folds, n_jobs=n_jobs, **passed)
    own = {name: _own(table, received) for name, table in (("model", by_arm), ("baseline", of_baseline))}
    rows_of = [_figures(name, y, p, received, **passed) for name, p in own.items()]
    mass = passed.get("sample_weight", np.ones(len(y)))
    rate = float(np.average(y, weights=mass))
    others = {"the baseline": own["baseline"], "the base rate": np.full(len(y), rate)}
    excess = {name: _excess_loss(y, own["model"], p, mass) for name, p in others.items()}
    return pd.concat(rows_of, ignore_index=True), excess


def _excess_loss(y: FloatArray, p: FloatArray, other: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return the mean difference in log-loss between two predictions of the same patients, and its SE."""
    difference = np.where(y == 1, np.log(other) - np.log(p), np.log1p(-other) - np.log1p(-p))
    mean = float(np.average(difference, weights=weights))
    n, share = len(y), weights / weights.sum()
    return mean, float(np.sqrt(n / (n - 1) * ((share * (difference - mean)) ** 2).sum()))


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


def _figures(
    predictor: str, y: FloatArray, p: FloatArray, received: pd.Series, **passed: FloatArray
) -> pd.DataFrame:
    options: dict[str, Any] = {**passed, "weights_are": "sampling"} if passed else {}
    estimates = {
        "log_loss": log_loss(y, p, **options),
        "brier_score": brier_score(y, p, **options),
        "within_arm_auc": within_arm_auc(y, p, received, **options),
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
