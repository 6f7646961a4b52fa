"""One classifier for all arms, with arm-by-covariate interactions (S-learner)."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, Trees
from treatsel.errors import InputError, warn
from treatsel.models._base import ByArmMixin
from treatsel.models._joint import JointDraws
from treatsel.models._learners import (
    has_linear,
    is_logistic,
    learn_encoding,
    lightgbm_of,
    linear_terms,
    prepare,
    unsupported,
    weight_arguments,
)
from treatsel.models._lightgbm import trees_of_lightgbm
from treatsel.models._posterior import posterior_of

MOST_CHECKED = 1000  # patients in whom the difference between arms is looked at
CONSTANT = 1e-9  # range of log odds below which they are the same in all patients


class PooledClassifier(ByArmMixin, ClassifierMixin, BaseEstimator):
    """One outcome classifier for all arms together (S-learner).

    A linear classifier (also inside a pipeline, a search, an ensemble or another wrapper of scikit-learn) is
    fitted to covariates, one 0/1 column per arm, and their products; with a ridge penalty this treats all
    arms alike (no reference arm), and a rare arm borrows strength from the others.
    Any other classifier is fitted to covariates and arm columns, and must find interactions itself; one that
    cannot (naive Bayes, say) gets a warning.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier with `predict_proba`.
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm, and no products.
    interaction_scale : float, default=1.0
        For linear classifiers: factor on the products. Under a ridge penalty it is the ratio of the
        prior standard deviation of effect modification to that of prognosis; a value below 1 shrinks
        effect modification more. At 0 the model has no effect modification.
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
    estimator_ : classifier
        The fitted classifier.

    References
    ----------
    Dahabreh, Hayward & Kent (2016), Int J Epidemiol 45(6), 2184-2193. doi:10.1093/ije/dyw125

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = PooledClassifier(LogisticRegression(), interaction_scale=0.3)
    >>> model.fit(X, [0, 1, 0, 1, 1, 0, 1, 0]).predict_by_arm(X.head(1)).round(2)
        CBT  SSRI
    0  0.48  0.52
    """

    def __init__(
        self,
        estimator: Any,
        *,
        arm: str | None = "arm",
        interaction_scale: float = 1.0,
        joint: JointDraws | None = None,
    ) -> None:
        self.estimator = estimator
        self.arm = arm
        self.interaction_scale = interaction_scale
        self.joint = joint

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "PooledClassifier":
        """Fit the classifier on all arms together.

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
        if not 0 <= self.interaction_scale < np.inf:
            raise InputError(f"interaction_scale is {self.interaction_scale}; it must be 0 or more.")
        covariates, received, y, weights = self._start_fit(X, y, sample_weight)
        self.encoding_ = learn_encoding(self.estimator, covariates, weights)
        codes = pd.Index(self.arms_).get_indexer(received)
        design = self._design(self.encoding_.encode(covariates), codes)
        passed = weight_arguments(self.estimator, None if sample_weight is None else weights)
        self.estimator_ = prepare(self.estimator).fit(design, y, **passed)
        logistic = is_logistic(self.estimator_)
        self._posterior = posterior_of(self.estimator_, design, weights) if logistic else None
        if not has_linear(self.estimator):
            self._check_modification(covariates)
        return self

    def _check_modification(self, covariates: pd.DataFrame) -> None:
        """Warn if a learner without products turns out additive: the same arm is best for every patient."""
        if len(self.arms_) < 2:
            return
        table = self.predict_by_arm(covariates.iloc[:MOST_CHECKED]).to_numpy()
        if not ((table > 0) & (table < 1)).all():
            return
        logits = np.log(table) - np.log1p(-table)
        difference = logits - logits[:, [0]]
        varies = np.ptp(difference, axis=0).max() > CONSTANT
        if not varies and min(np.ptp(logits[:, 0]), np.ptp(difference)) > CONSTANT:
            warn(
                f"{type(self.estimator).__name__} found no effect modification: the difference between arms "
                "(in log odds) is the same for every patient. Such a learner needs products of arm and "
                "covariates, which are made only for scikit-learn's linear classifiers; use "
                "ArmwiseClassifier, which fits it in each arm."
            )

    def _design(self, matrix: FloatArray, codes: np.ndarray) -> FloatArray:
        """Return covariates, arm columns and (linear classifiers) their products."""
        if self.arm is None:
            return matrix
        arms = np.eye(len(self.arms_))[codes]
        if not has_linear(self.estimator):
            return np.column_stack([matrix, arms])
        products = self.interaction_scale * arms[:, :, None] * matrix[:, None, :]
        return np.column_stack([matrix, arms, products.reshape(len(matrix), -1)])

    def predict_by_arm(self, X: Any) -> pd.DataFrame:
        """Return outcome probabilities, DataFrame of shape (n_patients, n_arms)."""
        covariates = self._covariates(X)
        matrix = self.encoding_.encode(covariates)
        by_arm = {}
        for k, arm in enumerate(self.arms_):
            design = self._design(matrix, np.full(len(matrix), k))
            by_arm[arm] = self.estimator_.predict_proba(design)[:, 1]
        return pd.DataFrame(by_arm, index=covariates.index)

    def _per_arm(self, terms: FloatArray) -> FloatArray:
        """Convert rows (intercept, coefficients of the design) to (intercept, coefficients) per arm.

        Shape (n_rows, n_terms) becomes (n_rows, n_arms, n_features + 1).
        """
        n_features, n_arms = len(self.encoding_.features), len(self.arms_)
        main: FloatArray = terms[:, None, : n_features + 1]
        if self.arm is None:
            return main
        arms, products = terms[:, n_features + 1 :][:, :n_arms], terms[:, n_features + 1 + n_arms :]
        modifiers = self.interaction_scale * products.reshape(len(terms), n_arms, n_features)
        return np.asarray(main + np.concatenate([arms[:, :, None], modifiers], axis=2))

    def additive(self) -> AdditiveModel:
        """Return the fitted model as sums of terms on the logit scale.

        Raises
        ------
        UnsupportedModelError
            If the estimator is neither a logistic regression (plain, or after linear steps such as scaling)
            nor LightGBM.
        """
        check_is_fitted(self)
        n_features, n_arms = len(self.encoding_.features), len(self.arms_)
        mean = linear_terms(self.estimator_)
        if mean is not None:
            per_arm = self._per_arm(mean[None, :])[0]
            trees = None
        elif lightgbm_of(self.estimator_) is not None:
            per_arm = np.zeros((n_arms, n_features + 1))
            trees = Trees.join([self._trees_of_arm(k) for k in range(n_arms)])
        else:
            raise unsupported(self, self.estimator)
        draws = None if self._posterior is None else self._posterior.draw(joint=self.joint)
        return AdditiveModel(
            encoding=self.encoding_,
            arms_=self.arms_,
            intercept=per_arm[:, 0],
            coefficients=per_arm[:, 1:],
            trees=trees,
            mixing=None if trees is None else np.eye(len(self.arms_)),
            coefficient_draws=None if draws is None else self._per_arm(draws),
            joint=self.joint is not None,
        )

    def _trees_of_arm(self, k: int) -> Any:
        """Return the trees with every split on an arm column decided as for arm `k`."""
        n_features = len(self.encoding_.features)
        fixed = {} if self.arm is None else {n_features + j: float(j == k) for j in range(len(self.arms_))}
        return trees_of_lightgbm(lightgbm_of(self.estimator_).booster_, fixed)
