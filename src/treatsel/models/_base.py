"""Shared parts of the estimators: the arm column, checks of outcomes, predictions for the received arm."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from treatsel._checks import (
    FloatArray,
    as_pandas,
    as_text,
    check_binary,
    check_known_arms,
    check_same_length,
    check_weights,
    count_of,
    names_in,
    normal_text,
)
from treatsel._disclosure import SMALLEST_GROUP, arm_named
from treatsel._stats.alignment import check_same_order
from treatsel._stats.row_hashes import received_row_keys
from treatsel.cohort import Cohort
from treatsel.errors import InputError

SINGLE_ARM = "all"  # the only column of the by-arm table when arm=None


def frame_of(X: Any, estimator: BaseEstimator, *, reset: bool) -> pd.DataFrame:
    """Return X as a DataFrame; arrays (only with ``arm=None``) get the columns x0, x1, ..."""
    X = as_pandas(X)
    if isinstance(X, pd.DataFrame):
        return X
    if isinstance(X, Cohort):
        raise InputError(
            f"X is a Cohort, which {type(estimator).__name__} does not read: give cohort.X and cohort.y, or "
            "TreatmentSelector(estimator=...), whose fit takes a cohort."
        )
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
        raise InputError(f"X has no arm column {arm!r}. Its columns are {names_in(X)}.")
    received = X[arm].astype("object")
    labels = received.dropna().unique()
    if len({str(label) for label in labels}) < len(labels):
        raise InputError(
            f"Column {arm!r} holds labels that differ only in type, such as 1 and '1'. Write each arm in one "
            "way, for example with astype(str)."
        )
    if n := int(received.isna().sum()):
        raise InputError(f"Column {arm!r} holds {count_of(n, 'missing arm')}. Leave out these patients.")
    return received


def split_groups(
    X: Any, groups: str | None, sample_weight: Any
) -> tuple[Any, npt.NDArray[np.intp] | None, np.ndarray]:
    """Return X without its site column, the site number of each patient with a weight above 0, and the sites.

    Sites are texts: 3, 3.0 and "3" are the same. The numbers are None if there are fewer than two sites:
    their variance cannot be estimated.
    """
    if groups is None:
        return X, None, np.array([], dtype=object)
    X = _with_column(X, "groups", groups)
    if n := int(X[groups].isna().sum()):
        raise InputError(
            f"Column {groups!r} holds {count_of(n, 'missing site')}. Give a site for these patients, or "
            "leave them out."
        )
    used = check_weights("sample_weight", sample_weight, len(X)) > 0
    given = as_labels(X[groups][used])
    names = np.array(sorted(set(given)), dtype=object)  # the same in any order of the rows
    codes = pd.Index(names).get_indexer(given)
    return X.drop(columns=groups), codes if len(names) > 1 else None, names


def split_therapists(
    X: Any, therapists: str | None, sites: npt.NDArray[np.intp] | None, sample_weight: Any
) -> tuple[Any, npt.NDArray[np.intp] | None]:
    """Return X without its therapist column, and each patient's therapist as a number (weights above 0).

    The same label at two sites is two therapists. -1: no therapist, where the label is missing. The numbers
    are None if there are fewer than two therapists: their variance cannot be estimated.
    """
    if therapists is None:
        return X, None
    X = _with_column(X, "therapists", therapists)
    used = check_weights("sample_weight", sample_weight, len(X)) > 0
    labels = as_labels(X[therapists][used])
    names = pd.Index(sorted(set(labels.dropna())))
    if len(names) < 2:
        return X.drop(columns=therapists), None
    codes = names.get_indexer(labels)
    if sites is not None:
        pairs = np.where(codes < 0, -1, sites * len(names) + codes)
        known, codes = np.unique(pairs, return_inverse=True)
        codes = codes - int(known[0] == -1)
    return X.drop(columns=therapists), np.asarray(codes)


def labels_of_caseloads(X: pd.DataFrame, groups: str | None, therapists: str, used: Any) -> pd.DataFrame:
    """Return site and therapist of the used patients as texts; the site is None without a site column."""
    sites = None if groups is None else as_labels(X[groups][used])
    return pd.DataFrame({"site": sites, "therapist": as_labels(X[therapists][used])}, dtype="object")


def as_labels(column: pd.Series) -> pd.Series:
    """Return sites or therapists as texts: 3, 3.0 and "3" are the same; missing stays missing."""
    given = column.astype("object")
    labels = {label: normal_text(as_text(label)) for label in given.dropna().unique()}
    return given.map(labels)


def _with_column(X: Any, parameter: str, name: str) -> pd.DataFrame:
    X = as_pandas(X)
    if not isinstance(X, pd.DataFrame) or name not in X.columns:
        raise InputError(f"X has no column {name!r}, which was given as {parameter}.")
    return X


def check_outcome_by_arm(y: Any, received: pd.Series, used: np.ndarray) -> FloatArray:
    """Return a 0/1 vector, after checking that every arm has both classes in the used rows."""
    check_same_length(X=received, y=np.asarray(y))
    y = check_binary("y", y)
    counted = pd.DataFrame({"size": used, "sum": y * used})
    events = counted.groupby(received.to_numpy()).sum()
    for arm, (n, n_events) in events.iterrows():
        if n_events in (0, n):
            raise InputError(
                f"{arm_named(arm, int(n))} with a weight above 0, and only one class of outcome. A model "
                "needs both classes in every arm: merge this arm with another, or leave it out."
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
        if self.arm is not None:
            self.row_keys_ = received_row_keys(covariates[used], received[used])
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
