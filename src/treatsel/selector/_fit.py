"""What fitting a selector takes: the default model, cross-fitted predictions, the best single arm."""

from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.model_selection._search import BaseSearchCV

from treatsel._checks import FloatArray, check_choice
from treatsel.errors import CohortError, Fault, InputError, UnsupportedModelError
from treatsel.metrics import aipw_scores, arm_means, enough_clusters
from treatsel.models import AdditiveModel, PooledClassifier, assignment_probabilities, balanced_folds

# Ridge penalties and shrinkage of effect modification that the default model is chosen from.
PENALTIES = (0.003, 0.03, 0.3, 3.0)
INTERACTION_SCALES = (0.1, 0.3, 1.0)


def log_likelihood(model: Any, X: pd.DataFrame, y: Any) -> float:
    """Mean log-likelihood of the outcomes under the received arm; higher is better."""
    p = model.predict_proba(X)
    chosen = np.where(np.asarray(y) == 1, p[:, 1], p[:, 0])
    return float(np.mean(np.log(np.maximum(chosen, 1e-15))))


def default_model(arm: str, folds: Any, n_jobs: int | None) -> GridSearchCV:
    """Ridge logistic regression with arm x covariate interactions, penalties by cross-validation."""
    ridge = LogisticRegression(solver="newton-cholesky", tol=1e-6, max_iter=200)
    grid = {"estimator__C": PENALTIES, "interaction_scale": INTERACTION_SCALES}
    model = PooledClassifier(ridge, arm=arm)
    return GridSearchCV(model, grid, cv=folds, scoring=log_likelihood, n_jobs=n_jobs, error_score="raise")


def model_of(estimator: Any, arm: str, folds: Any, n_jobs: int | None) -> Any:
    """Return the unfitted model that `estimator` names."""
    if isinstance(estimator, str):
        check_choice("estimator", estimator, ["auto"])
        return default_model(arm, folds, n_jobs)
    wrapped = estimator.estimator if isinstance(estimator, BaseSearchCV) else estimator
    if isinstance(wrapped, type):
        raise InputError(f"estimator is the class {wrapped.__name__}. Give an instance of it.")
    if not hasattr(wrapped, "predict_by_arm"):
        raise InputError(
            f"estimator is a {type(wrapped).__name__}, which has no predict_by_arm. Wrap it: "
            "PooledClassifier(estimator) or ArmwiseClassifier(estimator)."
        )
    model = clone(estimator)
    arms = [name for name in model.get_params() if name == "arm" or name.endswith("__arm")]
    return model.set_params(**dict.fromkeys(arms, arm))


def fit_model(model: Any, X: pd.DataFrame, y: FloatArray, groups: pd.Series | None) -> Any:
    """Fit a model; of a search, return the best."""
    if not isinstance(model, BaseSearchCV):
        return model.fit(X, y)
    if not model.refit:
        raise InputError(
            "The search in estimator has refit=False, so there is no best model. Set it to True."
        )
    return model.fit(X, y, groups=groups).best_estimator_


def check_trainable(X: pd.DataFrame, y: pd.Series, arm: str, arms: list[Any], folds: Any) -> None:
    """Raise unless every arm has two events and two non-events, and no covariate lies in one fold only."""
    _check_events(X, y, arm, arms)
    _check_spread(X.drop(columns=arm), folds)


def _check_events(X: pd.DataFrame, y: pd.Series, arm: str, arms: list[Any]) -> None:
    events = y.groupby(X[arm]).agg(["count", "sum"]).reindex(arms, fill_value=0)
    n_other = events["count"] - events["sum"]
    few = events[(events["sum"] < 2) | (n_other < 2)]
    if not len(few):
        return
    found = "; ".join(f"{a!r}: {int(n)} observed, {int(e)} events" for a, (n, e) in few.iterrows())
    raise InputError(
        f"Outcome {y.name!r} has too few patients in {len(few)} arms ({found}). Every arm needs at least 2 "
        "events and 2 non-events: merge these arms with others, or leave their patients out."
    )


def _check_spread(covariates: pd.DataFrame, folds: Any) -> None:
    n_folds = sum(covariates.iloc[fold].notna().any().astype(int) for _, fold in folds)
    remedy = "A covariate needs values in several sites and patients; drop the column."
    faults = [
        Fault(
            column=name,
            problem=f"holds {int(covariates[name].notna().sum())} values, all in one fold",
            remedy=remedy,
        )
        for name in covariates.columns[n_folds < 2]
    ]
    if faults:
        raise CohortError("The model cannot be cross-fitted:", faults)


def additive_form(model: Any) -> AdditiveModel | None:
    """Return a fitted model as sums of terms on the logit scale, or None if it is no such sum."""
    try:
        additive: AdditiveModel = model.additive()
    except (UnsupportedModelError, AttributeError):
        return None
    return additive


def cross_fit(model: Any, X: pd.DataFrame, y: FloatArray, folds: Any, n_jobs: int | None) -> pd.DataFrame:
    """Return by-arm predictions for each patient by a model that has not seen that patient."""

    def held_out(rest: np.ndarray, fold: np.ndarray) -> pd.DataFrame:
        table: pd.DataFrame = clone(model).fit(X.iloc[rest], y[rest]).predict_by_arm(X.iloc[fold])
        return table

    parts = Parallel(n_jobs=n_jobs)(delayed(held_out)(rest, fold) for rest, fold in folds)
    joined: pd.DataFrame = pd.concat(parts).loc[X.index]
    return joined


def doubly_robust_arm_means(
    model: Any,
    X: pd.DataFrame,
    y: FloatArray,
    arm: str,
    *,
    good: bool,
    groups: pd.Series | None,
    random_state: Any,
    n_jobs: int | None,
) -> pd.DataFrame:
    """Return the rate of the good outcome if everyone got an arm: arm, value, lower, upper, ...

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), JASA 89(427), 846-866. doi:10.1080/01621459.1994.10476818
    """
    received = X[arm]
    folds = balanced_folds(received, y, groups=groups, random_state=random_state)
    by_arm = cross_fit(model, X, y, folds, n_jobs)
    chances = assignment_probabilities(X.drop(columns=arm), received, folds)
    outcome = y if good else 1 - y
    table = by_arm if good else 1 - by_arm
    scores = aipw_scores(outcome, received, table, chances)
    return arm_means(scores, groups=enough_clusters(groups))
