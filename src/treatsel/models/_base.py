"""Shared parts of the estimators: the arm column, checks of outcomes, predictions for the received arm."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import Tags, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from treatsel._checks import (
    FloatArray,
    as_pandas,
    check_binary,
    check_known_arms,
    check_same_length,
    check_weights,
    count_of,
)
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._stats.alignment import check_same_order
from treatsel.additive import Encoding
from treatsel.errors import InputError, UnsupportedModelError

SINGLE_ARM = "all"  # the only column of the by-arm table when arm=None


def frame_of(X: Any, estimator: BaseEstimator, *, reset: bool) -> pd.DataFrame:
    """Return X as a DataFrame; arrays (only with ``arm=None``) get the columns x0, x1, ..."""
    X = as_pandas(X)
    if isinstance(X, pd.DataFrame):
        return X
    if estimator.arm is not None:
        raise InputError(f"X is an array; it must be a DataFrame with the arm column {estimator.arm!r}.")
    array = validate_data(estimator, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
    if n := int(np.isinf(array).sum()):
        raise InputError(f"X holds {count_of(n, 'infinity value')}; only finite numbers are allowed.")
    return pd.DataFrame(array, columns=[f"x{j}" for j in range(array.shape[1])])


def covariates_of(X: pd.DataFrame, arm: str | None) -> pd.DataFrame:
    """Return X without its arm column."""
    return X if arm is None else X.drop(columns=arm, errors="ignore")


def received_arms(X: pd.DataFrame, arm: str | None) -> pd.Series:
    """Return the arm that each patient received."""
    if arm is None:
        return pd.Series(SINGLE_ARM, index=X.index, dtype="object")
    if arm not in X.columns:
        raise InputError(f"X has no arm column {arm!r}. Its columns are {list(map(str, X.columns))}.")
    received = X[arm].astype("object")
    if n := int(received.isna().sum()):
        raise InputError(f"Column {arm!r} holds {count_of(n, 'missing arm')}. Leave out these patients.")
    return received


def split_groups(X: Any, groups: str | None, sample_weight: Any) -> tuple[Any, npt.NDArray[np.intp] | None]:
    """Return X without its site column, and the number of the site of each patient with a weight above 0.

    The numbers are None if there are fewer than two sites: their variance cannot be estimated.
    """
    if groups is None:
        return X, None
    X = as_pandas(X)
    if not isinstance(X, pd.DataFrame) or groups not in X.columns:
        raise InputError(f"X has no column {groups!r}, which was given as groups.")
    if n := int(X[groups].isna().sum()):
        raise InputError(
            f"Column {groups!r} holds {count_of(n, 'missing site')}. Give a site for these patients, or "
            "leave them out."
        )
    used = check_weights("sample_weight", sample_weight, len(X)) > 0
    codes, names = pd.factorize(X[groups].astype("object")[used])
    return X.drop(columns=groups), codes if len(names) > 1 else None


def check_outcome_by_arm(y: Any, received: pd.Series, used: np.ndarray) -> FloatArray:
    """Return a 0/1 vector, after checking that every arm has both classes in the used rows."""
    check_same_length(X=received, y=np.asarray(y))
    y = check_binary("y", y)
    counted = pd.DataFrame({"size": used, "sum": y * used})
    events = counted.groupby(received.to_numpy()).sum()
    for arm, (n, n_events) in events.iterrows():
        if n_events in (0, n):
            raise InputError(
                f"Arm {arm!r} has {count_of(int(n), 'patient')} with a weight above 0 and only one class of "
                f"outcome ({count_of(int(n_events), 'event')}). A model needs both classes in every arm: "
                "merge this arm with another, or leave it out."
            )
    return np.asarray(y)


class ByArmMixin:
    """Adds `predict_proba` (for the received arm) and `predict` to an estimator with `predict_by_arm`."""

    arm: str | None

    def _start_fit(self, X: Any, y: Any, sample_weight: Any) -> tuple[pd.DataFrame, pd.Series, Any, Any]:
        """Check the input; return covariates, received arms, 0/1 outcomes and weights."""
        frame, y = frame_of(X, self, reset=True), as_pandas(y)
        if not len(frame):
            raise InputError("X has no rows.")
        received = received_arms(frame, self.arm)
        check_same_order(X=frame, y=y, sample_weight=sample_weight)
        weights = check_weights("sample_weight", sample_weight, len(frame))
        used = weights > 0
        y = self._encode_classes(y, received, used)
        covariates = covariates_of(frame, self.arm)
        if not len(covariates.columns):
            raise InputError("X has no covariates besides the arm. Give at least one.")
        self.n_features_in_ = len(covariates.columns)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(covariates.columns, dtype=object)
        if not weights.any():
            raise InputError("Every sample_weight is 0. At least one must be above 0.")
        self.arms_ = np.array(sorted(received.unique(), key=str), dtype=object)
        return covariates[used], received[used], y[used], weights[used]

    def _encode_classes(self, y: Any, received: pd.Series, used: np.ndarray) -> FloatArray:
        if self.arm is not None:
            self.classes_ = np.array([0, 1])
            return check_outcome_by_arm(y, received, used)
        if y is None:
            raise InputError("This estimator requires y to be passed, but the target y is None.")
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=None), warn=True)
        check_same_length(X=received, y=y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            raise InputError(
                f"y holds {len(self.classes_)} class(es). Only binary classification is supported."
            )
        return np.asarray(y == self.classes_[1], dtype=np.float64)

    def _covariates(self, X: Any) -> pd.DataFrame:
        check_is_fitted(self)
        return covariates_of(frame_of(X, self, reset=False), self.arm)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probabilities of both outcomes under the received arm.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates and the arm column.

        Returns
        -------
        ndarray of shape (n_patients, 2)
        """
        check_is_fitted(self)
        frame = frame_of(X, self, reset=False)
        received = check_known_arms(received_arms(frame, self.arm), self.arms_, fewest_named=SMALLEST_GROUP)
        by_arm = self.predict_by_arm(frame)  # type: ignore[attr-defined] # the model's own
        column = by_arm.columns.get_indexer(received)
        p = by_arm.to_numpy()[np.arange(len(frame)), column]
        return np.column_stack([1 - p, p])

    def predict(self, X: Any) -> np.ndarray:
        """Return the more probable class under the received arm, shape (n_patients,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[(self.predict_proba(X)[:, 1] > 0.5).astype(int)])

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()  # type: ignore[misc] # BaseEstimator's, further on in the MRO
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags


def prepare(estimator: Any) -> Any:
    """Return an unfitted copy; LightGBM gets one thread, no log and row-wise histograms (reproducible)."""
    copy = clone(estimator)
    if not hasattr(copy, "predict_proba"):
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


def is_linear(estimator: Any) -> bool:
    """Whether this is one of scikit-learn's linear classifiers, also inside wrappers."""
    return all(
        isinstance(core, LinearClassifierMixin) or (isinstance(core, SVC) and core.kernel == "linear")
        for core in cores_of(estimator)
    )


def linear_terms(fitted: Any) -> FloatArray | None:
    """Return intercept and coefficients of a fitted logistic regression; None if it is not one.

    Of a search, those of its best estimator. Steps of a pipeline that shift and scale each column (centering,
    standardization, scaling to a range) are folded into them.
    """
    if isinstance(fitted, BaseSearchCV):
        return linear_terms(getattr(fitted, "best_estimator_", None))
    steps = [] if not isinstance(fitted, Pipeline) else [step for _, step in fitted.steps[:-1]]
    last = fitted.steps[-1][1] if isinstance(fitted, Pipeline) else fitted
    if isinstance(last, BaseSearchCV):
        last = getattr(last, "best_estimator_", None)
    if not is_logistic(last):
        return None
    intercept, coefficients = float(last.intercept_[0]), np.asarray(last.coef_[0], dtype=float)
    for step in reversed(steps):
        if step is None or step == "passthrough":
            continue
        if not isinstance(step, StandardScaler | MinMaxScaler | MaxAbsScaler | RobustScaler):
            return None
        if getattr(step, "clip", False):
            return None
        n = len(coefficients)
        shift = step.transform(np.zeros((1, n)))[0]  # x -> shift + scale x, column by column
        scale = step.transform(np.ones((1, n)))[0] - shift
        intercept, coefficients = intercept + float(coefficients @ shift), coefficients * scale
    return np.concatenate([[intercept], coefficients])


def weight_parameter(estimator: Any) -> str:
    """Return the name under which `fit` takes sample weights: that of the last step of a pipeline."""
    if isinstance(estimator, BaseSearchCV | CalibratedClassifierCV):
        inner = weight_parameter(estimator.estimator)
        return inner if isinstance(estimator, BaseSearchCV) else "sample_weight"
    if isinstance(estimator, Pipeline):
        name, step = estimator.steps[-1]
        return f"{name}__{weight_parameter(step)}"
    return "sample_weight"


def is_logistic(estimator: Any) -> bool:
    """Whether this is scikit-learn's logistic regression, plain or cross-validated."""
    return isinstance(estimator, LogisticRegression)


def learn_encoding(estimator: Any, covariates: pd.DataFrame, weights: FloatArray) -> Encoding:
    """Learn the encoding for an estimator; missing values stay missing if it handles them natively."""
    # the tags of a pipeline are those of its first step: a scaler passes missing values on to a linear model
    native = bool(get_tags(estimator).input_tags.allow_nan) and not is_linear(estimator)
    return Encoding.of_cohort(covariates, weights, native_missing=native)


def unsupported(model: Any, estimator: Any) -> UnsupportedModelError:
    """Return the error for a model that cannot be read exactly as a sum on the logit scale."""
    return UnsupportedModelError(
        f"{type(model).__name__} of {type(estimator).__name__} cannot be written as a sum of terms. "
        "LogisticRegression and LGBMClassifier can."
    )
