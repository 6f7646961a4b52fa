"""Learners of scikit-learn, LightGBM and users inside our models: wrappers, weights, and linear terms."""

import inspect
from typing import Any

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier
from sklearn.feature_selection import SelectorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import get_tags

from treatsel._checks import FloatArray
from treatsel.additive import Encoding, logistic
from treatsel.errors import InputError, UnsupportedModelError

_SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
_THRESHOLDS = (FixedThresholdClassifier, TunedThresholdClassifierCV)


def prepare(estimator: Any) -> Any:
    """Return an unfitted copy; LightGBM gets one thread, no log and row-wise histograms (reproducible)."""
    copy = clone(estimator)
    # a stack knows only when it is fitted; its default final estimator predicts probabilities
    checked = copy.final_estimator or LogisticRegression() if isinstance(copy, StackingClassifier) else copy
    if not hasattr(checked, "predict_proba"):
        raise UnsupportedModelError(
            f"{type(copy).__name__} does not predict probabilities. Choose a classifier with predict_proba."
        )
    if is_lightgbm(copy):
        given = copy.get_params()
        quiet = {"n_jobs": 1, "verbosity": -1, "force_row_wise": True}
        copy.set_params(**{key: value for key, value in quiet.items() if given.get(key) is None})
    return copy


def is_lightgbm(estimator: Any) -> bool:
    """Whether this is LightGBM's classifier (without importing it)."""
    return any(c.__module__.startswith("lightgbm.") for c in type(estimator).__mro__)


def cores_of(estimator: Any) -> list[Any]:
    """Return the learners inside pipelines, searches, ensembles and other wrappers."""
    if isinstance(estimator, Pipeline):
        return cores_of(estimator.steps[-1][1])
    if isinstance(estimator, CalibratedClassifierCV) and estimator.estimator is None:
        return [LinearSVC()]  # its default
    if (members := getattr(estimator, "estimators", None)) is not None and isinstance(members, list):
        return [core for _, member in members if member != "drop" for core in cores_of(member)]
    inner = getattr(estimator, "estimator", None)
    if isinstance(inner, BaseEstimator):
        return cores_of(inner)
    return [estimator]


def has_linear(estimator: Any) -> bool:
    """Whether this is, or holds in a wrapper or an ensemble, one of scikit-learn's linear classifiers."""
    return any(
        isinstance(core, LinearClassifierMixin) or (isinstance(core, SVC) and core.kernel == "linear")
        for core in cores_of(estimator)
    )


def unwrapped(fitted: Any) -> Any:
    """Return the fitted learner whose probabilities a wrapper passes on unchanged.

    Such wrappers are a search, a decision threshold, one-versus-rest with two classes, and a pipeline whose
    other steps do nothing.
    """
    inner: Any = fitted
    if isinstance(fitted, BaseSearchCV):
        inner = getattr(fitted, "best_estimator_", None)
    elif isinstance(fitted, _THRESHOLDS):
        inner = fitted.estimator_
    elif isinstance(fitted, OneVsRestClassifier) and len(fitted.estimators_) == 1:
        inner = fitted.estimators_[0]
    elif isinstance(fitted, Pipeline) and not _steps(fitted):
        inner = fitted.steps[-1][1]
    return fitted if inner is fitted else unwrapped(inner)


def _steps(pipeline: Pipeline) -> list[Any]:
    """Return the steps before the last, without those that do nothing."""
    return [step for _, step in pipeline.steps[:-1] if step is not None and step != "passthrough"]


def linear_terms(fitted: Any) -> FloatArray | None:
    """Return intercept and coefficients of a classifier whose log odds are linear; None if it is not one.

    Wrappers are removed. Steps of a pipeline that are linear (scaling, selection of columns, principal
    components) are folded in, as is calibration by one logistic curve (Platt scaling).
    """
    terms = _terms(fitted)
    if terms is None:
        return None
    # other classifiers have linear scores but other probabilities: compare at a few points
    points = np.random.default_rng(0).standard_normal((8, len(terms) - 1))
    given = fitted.predict_proba(points)[:, 1]
    return terms if np.allclose(given, logistic(terms[0] + points @ terms[1:]), rtol=0, atol=1e-9) else None


def _terms(fitted: Any) -> FloatArray | None:
    """Return intercept and coefficients of the log odds, if the fitted classifier's type suggests them."""
    fitted = unwrapped(fitted)
    if isinstance(fitted, Pipeline):
        terms = _terms(fitted.steps[-1][1])
        for step in reversed(_steps(fitted)):
            terms = None if terms is None else _folded(step, terms)
        return terms
    if isinstance(fitted, CalibratedClassifierCV):
        return _calibrated_terms(fitted)
    if not isinstance(fitted, LinearClassifierMixin) or len(np.atleast_2d(fitted.coef_)) != 1:
        return None
    return np.concatenate([np.ravel(fitted.intercept_)[:1], np.ravel(fitted.coef_)]).astype(float)


def _folded(step: Any, terms: FloatArray) -> FloatArray | None:
    """Return the terms before a fitted step, x -> shift + x matrix; None if the step is not linear."""
    n = getattr(step, "n_features_in_", 0)
    if isinstance(step, _SCALERS) and not getattr(step, "clip", False):  # column by column
        shift = np.asarray(step.transform(np.zeros((1, n))))[0]
        coefficients = (np.asarray(step.transform(np.ones((1, n))))[0] - shift) * terms[1:]
    elif isinstance(step, PCA | SelectorMixin):
        shift = np.asarray(step.transform(np.zeros((1, n))))[0]
        coefficients = (np.asarray(step.transform(np.eye(n))) - shift) @ terms[1:]
    else:
        return None
    return np.concatenate([[terms[0] + shift @ terms[1:]], coefficients])


def _calibrated_terms(fitted: CalibratedClassifierCV) -> FloatArray | None:
    """Return the terms of one linear classifier, calibrated by one logistic curve."""
    members = fitted.calibrated_classifiers_
    if len(members) != 1 or not hasattr(members[0].calibrators[0], "a_"):
        return None
    inner = members[0].estimator
    terms = _terms(getattr(inner, "estimator", inner))  # of a FrozenEstimator
    curve = members[0].calibrators[0]
    return None if terms is None else -(curve.a_ * terms + np.r_[curve.b_, np.zeros(len(terms) - 1)])


def lightgbm_of(fitted: Any) -> Any:
    """Return the fitted LightGBM classifier that gives the probabilities; None if there is none."""
    inner = unwrapped(fitted)
    return inner if is_lightgbm(inner) else None


def weight_arguments(estimator: Any, weights: FloatArray | None) -> dict[str, FloatArray]:
    """Return the argument by which `fit` takes sample weights: in a pipeline, that of the last step.

    Raises
    ------
    InputError
        If it takes none.
    """
    if weights is None:
        return {}
    if (refusing := without_weights(estimator)) is not None:
        remedy = "give its estimator instead" if isinstance(refusing, _WITH_ROUTING) else "choose another"
        raise InputError(
            f"{type(refusing).__name__}.fit does not accept sample_weight. Leave out the weights, or "
            f"{remedy}; weights are required if outcomes are missing."
        )
    return {_weight_parameter(estimator): weights}


_WITH_ROUTING = (*_THRESHOLDS, OneVsRestClassifier)  # pass weights on only with scikit-learn's routing


def without_weights(estimator: Any) -> Any:
    """Return the (inner) learner that does not take weights, or None."""
    if isinstance(estimator, Pipeline):
        return without_weights(estimator.steps[-1][1])
    if isinstance(estimator, _WITH_ROUTING) and not get_config()["enable_metadata_routing"]:
        return estimator
    if isinstance(estimator, BaseSearchCV):
        return without_weights(estimator.estimator)
    if isinstance(estimator, CalibratedClassifierCV) and estimator.estimator is not None:
        return without_weights(estimator.estimator)
    if isinstance(members := getattr(estimator, "estimators", None), list):
        refusing = [without_weights(member) for _, member in members if member != "drop"]
        return next((member for member in refusing if member is not None), None)
    accepted = inspect.signature(estimator.fit).parameters.values()
    takes = any(each.name == "sample_weight" or each.kind is each.VAR_KEYWORD for each in accepted)
    return None if takes else estimator


def _weight_parameter(estimator: Any) -> str:
    if isinstance(estimator, BaseSearchCV):
        return _weight_parameter(estimator.estimator)
    if isinstance(estimator, Pipeline):
        name, step = estimator.steps[-1]
        return f"{name}__{_weight_parameter(step)}"
    return "sample_weight"


def is_logistic(estimator: Any) -> bool:
    """Whether this is scikit-learn's logistic regression, plain or cross-validated."""
    return isinstance(estimator, LogisticRegression)


def learn_encoding(estimator: Any, covariates: pd.DataFrame, weights: FloatArray) -> Encoding:
    """Learn the encoding for an estimator; missing values stay missing if it handles them natively."""
    # the tags of a pipeline are those of its first step: a scaler passes missing values on to a linear model
    native = bool(get_tags(estimator).input_tags.allow_nan) and not has_linear(estimator)
    return Encoding.of_cohort(covariates, weights, native_missing=native)


def unsupported(model: Any, estimator: Any) -> UnsupportedModelError:
    """Return the error for a model that cannot be read exactly as a sum on the logit scale."""
    return UnsupportedModelError(
        f"{type(model).__name__} of {type(estimator).__name__} cannot be written as a sum of terms. "
        "LogisticRegression (also after steps that scale or select columns, or with Platt scaling by "
        "ensemble=False) and LGBMClassifier can."
    )
