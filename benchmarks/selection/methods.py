"""The methods that run in this interpreter: ours, penalized regression, and LightGBM.

Methods of other libraries are in `peers.py`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold

import treatsel.models
from benchmarks.selection.peer_worker import SMALL
from treatsel._stats.folds import balanced_folds
from treatsel.errors import UnsupportedModelError
from treatsel.models import ArmwiseClassifier, Encoding, PooledClassifier

OURS = ("hierarchical", "stacked")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to learn a by-arm table.

    Attributes
    ----------
    name : str
        For tables.
    fit : callable
        (X, y, seed, site column or None) to a fitted model with `predict_by_arm`; with the option `score` if
        `sees_score`.
    fast : bool
        Whether it takes part in a quick run.
    largest : int
        Largest number of patients on which it is run.
    sees_site : bool
        Whether it receives the column of sites; the others do not.
    sees_score : bool
        Whether it receives the score behind the outcome, where there is one.
    """

    name: str
    fit: Callable[..., Any]
    fast: bool = True
    largest: int = 1_000_000
    sees_site: bool = False
    sees_score: bool = False


def fit_ours(class_name: str) -> Callable[..., Any]:
    """Return a fit that looks up the class when called; it gets seed and site if the class accepts them."""

    def fit(X: pd.DataFrame, y: pd.Series, seed: int, site: str | None, **given: pd.Series) -> Any:
        model_class = getattr(treatsel.models, class_name)
        known = inspect.signature(model_class).parameters
        options = {"arm": "arm", "random_state": seed, "groups": site}
        if site is not None and "groups" not in known:
            X = X.drop(columns=site)
        model = model_class(**{name: value for name, value in options.items() if name in known})
        return model.fit(X, y, **given)

    return fit


def log_likelihood(model: Any, X: pd.DataFrame, y: Any) -> float:
    """Mean log-likelihood of the outcomes under the received arm; higher is better."""
    p = model.predict_proba(X)
    return float(np.mean(np.log(np.maximum(np.where(np.asarray(y) == 1, p[:, 1], p[:, 0]), 1e-15))))


def fit_ridge_interaction(X: pd.DataFrame, y: pd.Series, seed: int, site: str | None) -> Any:
    """Ridge with arm x covariate products and no reference arm; both penalties by cross-validation."""
    grid = {"estimator__C": (0.003, 0.03, 0.3, 3.0), "interaction_scale": (0.1, 0.3, 1.0)}
    ridge = LogisticRegression(solver="newton-cholesky", tol=1e-6, max_iter=200)
    folds = balanced_folds(X["arm"], y.to_numpy(), random_state=seed)
    search = GridSearchCV(PooledClassifier(ridge), grid, cv=folds, scoring=log_likelihood, n_jobs=1)
    return search.fit(X, y).best_estimator_


class CrossValidatedLogistic(LogisticRegressionCV):
    """Logistic regression that uses fewer folds if an arm has few events."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "CrossValidatedLogistic":
        least = int(np.unique(y, return_counts=True)[1].min())
        self.cv = StratifiedKFold(min(5, max(2, least)), shuffle=True, random_state=self.random_state)
        return super().fit(X, y, sample_weight=sample_weight)


def ridge(seed: int) -> CrossValidatedLogistic:
    return CrossValidatedLogistic(
        Cs=np.logspace(-4, 1, 11),
        l1_ratios=(0.0,),
        scoring="neg_log_loss",
        solver="newton-cholesky",
        use_legacy_attributes=False,
        random_state=seed,
    )


def elastic_net(seed: int) -> CrossValidatedLogistic:
    return CrossValidatedLogistic(
        Cs=np.logspace(-2.5, 0, 6),
        l1_ratios=(0.5, 0.95),
        scoring="neg_log_loss",
        solver="saga",
        tol=1e-3,
        max_iter=300,
        use_legacy_attributes=False,
        random_state=seed,
    )


class ReferenceCoded:
    """Covariates, indicators of all arms but the first, and their products, in one regression ("PAI").

    References
    ----------
    DeRubeis et al. (2014), PLOS ONE 9(1), e83875. doi:10.1371/journal.pone.0083875
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: pd.DataFrame, y: pd.Series) -> "ReferenceCoded":
        self.arms_ = sorted(X["arm"].unique())
        covariates = X.drop(columns="arm")
        self.encoding_ = Encoding.learn(covariates, np.ones(len(X)), native_missing=False)
        codes = pd.Index(self.arms_).get_indexer(X["arm"])
        self.estimator.fit(self._design(covariates, codes), y.to_numpy())
        return self

    def _design(self, covariates: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
        matrix = self.encoding_.encode(covariates)
        others = np.eye(len(self.arms_))[codes][:, 1:]
        products = others[:, :, None] * matrix[:, None, :]
        return np.column_stack([matrix, others, products.reshape(len(matrix), -1)])

    def predict_by_arm(self, X: pd.DataFrame) -> pd.DataFrame:
        covariates = X.drop(columns="arm", errors="ignore")
        designs = [self._design(covariates, np.full(len(X), k)) for k in range(len(self.arms_))]
        columns = [self.estimator.predict_proba(design)[:, 1] for design in designs]
        return pd.DataFrame(np.column_stack(columns), index=X.index, columns=self.arms_)


def fit_reference_coded(estimator: Callable[[int], Any]) -> Callable[..., Any]:
    return lambda X, y, seed, site: ReferenceCoded(estimator(seed)).fit(X, y)


def fit_armwise(estimator: Callable[[int], Any]) -> Callable[..., Any]:
    return lambda X, y, seed, site: ArmwiseClassifier(estimator(seed)).fit(X, y)


def fit_pooled(estimator: Callable[[int], Any]) -> Callable[..., Any]:
    return lambda X, y, seed, site: PooledClassifier(estimator(seed)).fit(X, y)


def trees(seed: int) -> LGBMClassifier:
    return LGBMClassifier(n_jobs=1, random_state=seed, verbosity=-1)


def small_trees(seed: int) -> LGBMClassifier:
    return LGBMClassifier(random_state=seed, **SMALL)


METHODS = (
    Method(name="hierarchical", fit=fit_ours("HierarchicalClassifier"), sees_site=True),
    Method(name="stacked", fit=fit_ours("StackedClassifier"), sees_site=True),
    Method(name="ridge interaction", fit=fit_ridge_interaction),
    Method(name="ridge, reference-coded", fit=fit_reference_coded(ridge)),
    Method(
        name="elastic net, reference-coded",
        fit=fit_reference_coded(elastic_net),
        fast=False,
        largest=5_000,
    ),
    Method(name="per-arm logistic", fit=fit_armwise(ridge)),
    Method(name="S-LightGBM default", fit=fit_pooled(trees)),
    Method(name="S-LightGBM regularized", fit=fit_pooled(small_trees)),
    Method(name="T-LightGBM default", fit=fit_armwise(trees)),
    Method(name="T-LightGBM regularized", fit=fit_armwise(small_trees)),
)
_CLASSES = {"hierarchical": "HierarchicalClassifier", "stacked": "StackedClassifier"}


def exists(method: Method) -> bool:
    """Whether the class of one of our methods exists."""
    return method.name not in _CLASSES or hasattr(treatsel.models, _CLASSES[method.name])


def draws_of(model: Any, X: pd.DataFrame) -> np.ndarray | None:
    """Return draws of the by-arm probabilities, or None if the model gives none."""
    if hasattr(model, "predict_draws"):
        return np.asarray(model.predict_draws(X))
    if not hasattr(model, "additive"):
        return None
    try:
        return np.asarray(model.additive().predict_draws(X.drop(columns="arm", errors="ignore")))
    except UnsupportedModelError:
        return None
