"""One classifier per arm (T-learner)."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from treatsel.additive import AdditiveModel, Trees
from treatsel.models._base import ByArmMixin
from treatsel.models._joint import JointDraws
from treatsel.models._learners import (
    is_logistic,
    learn_encoding,
    lightgbm_of,
    linear_terms,
    prepare,
    unsupported,
    weight_arguments,
)
from treatsel.models._lightgbm import trees_of_lightgbm
from treatsel.models._posterior import Posterior, posterior_of, stack_arms


class ArmwiseClassifier(ByArmMixin, ClassifierMixin, BaseEstimator):
    """One outcome classifier per treatment arm (T-learner).

    Arms share no information: the model of a rare arm is fitted to its own few patients only.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier with `predict_proba`, fitted once per arm on the encoded covariates.
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm.
    joint : JointDraws or None, default=None
        Random numbers of the posterior draws, which depend on those of other outcomes; a selector of several
        outcomes gives it. None: those of one outcome.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms, sorted.
    classes_ : ndarray of shape (2,)
        Outcomes; the second is the event.
    row_keys_ : ndarray of uint64
        Hashes of the rows, by which `treatsel.validate` recognizes patients of the development cohort.
    estimators_ : dict
        Arm to fitted classifier.

    References
    ----------
    Kunzel et al. (2019), PNAS 116(10), 4156-4165. doi:10.1073/pnas.1804597116

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = ArmwiseClassifier(LogisticRegression()).fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    >>> model.predict_by_arm(X.head(1)).round(2)
        CBT  SSRI
    0  0.35  0.65
    """

    def __init__(self, estimator: Any, *, arm: str | None = "arm", joint: JointDraws | None = None) -> None:
        self.estimator = estimator
        self.arm = arm
        self.joint = joint

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "ArmwiseClassifier":
        """Fit one classifier per arm.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates and the arm column.
        y : array-like of shape (n_patients,)
            Outcome, 0 or 1.
        sample_weight : array-like of shape (n_patients,), optional
            Weights, not negative.

        Raises
        ------
        InputError
            If the arm column is missing, an arm has only one class of outcome, or y is not 0/1.
        """
        covariates, received, y, weights = self._start_fit(X, y, sample_weight)
        self.encoding_ = learn_encoding(self.estimator, covariates, weights)
        matrix = self.encoding_.encode(covariates)
        self.estimators_: dict[Any, Any] = {}
        self._posteriors: list[Posterior | None] = []
        for arm in self.arms_:
            rows = (received == arm).to_numpy()
            passed = weight_arguments(self.estimator, None if sample_weight is None else weights[rows])
            fitted = prepare(self.estimator).fit(matrix[rows], y[rows], **passed)
            self.estimators_[arm] = fitted
            logistic = is_logistic(fitted)
            self._posteriors.append(posterior_of(fitted, matrix[rows], weights[rows]) if logistic else None)
        return self

    def predict_by_arm(self, X: Any) -> pd.DataFrame:
        """Return outcome probabilities, DataFrame of shape (n_patients, n_arms)."""
        covariates = self._covariates(X)
        matrix = self.encoding_.encode(covariates)
        by_arm = {arm: model.predict_proba(matrix)[:, 1] for arm, model in self.estimators_.items()}
        return pd.DataFrame(by_arm, index=covariates.index)

    def additive(self) -> AdditiveModel:
        """Return the fitted model as sums of terms on the logit scale.

        Raises
        ------
        UnsupportedModelError
            If the estimator is neither a logistic regression (plain, or after linear steps such as scaling)
            nor LightGBM.
        """
        check_is_fitted(self)
        fitted = list(self.estimators_.values())
        n_features = len(self.encoding_.features)
        found = [linear_terms(model) for model in fitted]
        terms = [row for row in found if row is not None]
        if len(terms) == len(fitted):
            intercept, coefficients = np.array(terms)[:, 0], np.array(terms)[:, 1:]
            trees = None
        elif all(lightgbm_of(model) is not None for model in fitted):
            intercept, coefficients = np.zeros(len(fitted)), np.zeros((len(fitted), n_features))
            trees = Trees.join([trees_of_lightgbm(lightgbm_of(model).booster_) for model in fitted])
        else:
            raise unsupported(self, self.estimator)
        streams = range(len(fitted)) if self.joint is None else self.joint.numbers_of(self.arms_).tolist()
        return AdditiveModel(
            encoding=self.encoding_,
            arms_=self.arms_,
            intercept=intercept,
            coefficients=coefficients,
            trees=trees,
            mixing=None if trees is None else np.eye(len(self.arms_)),
            coefficient_draws=stack_arms(
                [
                    None if p is None else p.draw(stream=stream, joint=self.joint)
                    for stream, p in zip(streams, self._posteriors, strict=True)
                ]
            ),
            joint=self.joint is not None,
        )
