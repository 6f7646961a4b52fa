"""What fitting a selector takes: the default model, cross-fitted predictions, the best single arm."""

from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from treatsel._checks import FloatArray, check_choice
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.metrics import aipw_scores, arm_means
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
    return GridSearchCV(
        PooledClassifier(ridge, arm=arm), grid, cv=folds, scoring=log_likelihood, n_jobs=n_jobs
    )


def model_of(estimator: Any, arm: str, folds: Any, n_jobs: int | None) -> Any:
    """Return the unfitted model that `estimator` names."""
    if isinstance(estimator, str):
        check_choice("estimator", estimator, ["auto"])
        return default_model(arm, folds, n_jobs)
    searched = getattr(estimator, "estimator", None) if hasattr(estimator, "best_params_") else None
    if not hasattr(searched or estimator, "predict_by_arm") and not isinstance(estimator, GridSearchCV):
        raise InputError(
            f"estimator is a {type(estimator).__name__}, which has no predict_by_arm. Wrap it: "
            "PooledClassifier(estimator) or ArmwiseClassifier(estimator)."
        )
    model = clone(estimator)
    if "arm" in model.get_params(deep=False):
        model.set_params(arm=arm)
    return model


def fit_model(model: Any, X: pd.DataFrame, y: FloatArray, groups: pd.Series | None) -> Any:
    """Fit a model; of a search, return the best."""
    if isinstance(model, GridSearchCV):
        searched = model.fit(X, y, groups=groups)
        return searched.best_estimator_
    return model.fit(X, y)


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
    return arm_means(aipw_scores(outcome, received, table, chances))
