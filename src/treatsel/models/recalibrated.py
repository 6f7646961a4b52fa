"""Recalibration of a fitted model to another population."""

import copy
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_choice,
    check_known_arms,
    check_same_length,
    check_weights,
    count_of,
)
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._stats.logits import logits_of
from treatsel._stats.row_hashes import received_row_keys
from treatsel.additive import AdditiveModel, additive_of
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.models._base import ByArmMixin, covariates_of, frame_of, received_arms
from treatsel.models._recalibration import METHODS, Codes, Method, Recalibration, Refit, learn_recalibration


class RecalibratedClassifier(ByArmMixin, ClassifierMixin, BaseEstimator):
    """A fitted model whose logits are shifted and rescaled to fit new patients.

    logit' = shift_k + slope x logit, fitted by maximum likelihood to the outcomes of the new patients under
    the arms they received, with one shift for all arms or one per arm. The ranking of patients within an arm
    is unchanged; a shift per arm can change which arm is best.

    Parameters
    ----------
    model : fitted model
        A model of `treatsel.models`, or from a model file (``load_model(path).models_[outcome]``). It is
        never refitted, and `sklearn.base.clone` keeps it fitted.
    method : {"none", "intercept", "slope", "per_arm", "refit"}, default "slope"
        "none": the unchanged model. "intercept": one shift, slope 1. "slope": one shift and one slope.
        "per_arm": a shift for each arm and one slope. "refit": a new model, namely an unpenalized logistic
        regression in each arm on the same covariates. `treatsel.validation.update_closed_test` selects one
        of them by a closed testing procedure.
    arm : str or None, default "arm"
        Column of X that holds the received arm. None: a single arm.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms of the model.
    classes_ : ndarray of shape (2,)
        Outcomes, 0 and 1.
    shift_ : Series by arm
        Shift added to the logit; 0 is no change. NaN for "refit".
    slope_ : float
        Factor of the logit; 1 is no change; below 1 the predictions were too extreme. NaN for "refit".
    covariance_ : ndarray of shape (n_free, n_free) or None
        Covariance of the shift(s), in the order of `arms_`, and the slope; None for "refit".
    log_likelihood_ : float
        Maximum of the log-likelihood of the new patients' outcomes.
    n_parameters_ : int
        Number of parameters estimated from the new patients.
    row_keys_ : ndarray of uint64
        Hashes of the new patients' rows, and of those on which the model was fitted if it has them: by these
        `treatsel.validate` recognizes that a cohort is not a new one.

    Notes
    -----
    The additive form has the terms of the original, rescaled, so that explanations, model files and services
    work as before. Its draws are those of the original, without the variation in what the new patients
    determine (for example the level of their site), plus the sampling error of the recalibration: to first
    order, each draw of the model receives the recalibration that it would have required, plus a draw from the
    sampling distribution.

    A model with site effects is recalibrated as it is served: if X has the site column, the logits are those
    of the patients' known sites. Known sites with 10 new patients or more stay known; the others are
    predicted as new sites, since the new patients say nothing of their level. Expected scores are dropped.

    References
    ----------
    Steyerberg et al. (2004), Statistics in Medicine 23(16), 2567-2586. doi:10.1002/sim.1844
    Janssen et al. (2008), Journal of Clinical Epidemiology 61(1), 76-86. doi:10.1016/j.jclinepi.2007.04.018

    Examples
    --------
    >>> import pandas as pd
    >>> from treatsel.models import HierarchicalClassifier
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = HierarchicalClassifier().fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    >>> updated = RecalibratedClassifier(model, method="intercept").fit(X, [1, 1, 1, 1, 1, 0, 1, 0])
    >>> updated.shift_.round(2).to_dict()
    {'CBT': 1.1, 'SSRI': 1.1}
    """

    def __init__(self, model: Any, *, method: Method = "slope", arm: str | None = "arm") -> None:
        self.model = model
        self.method = method
        self.arm = arm

    def __sklearn_clone__(self) -> "RecalibratedClassifier":
        return type(self)(copy.copy(self.model), method=self.method, arm=self.arm)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "RecalibratedClassifier":
        """Fit the recalibration; the model itself is not changed.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates and the arm column of the new patients.
        y : array-like of shape (n_patients,)
            Outcome, 0 or 1.
        sample_weight : array-like of shape (n_patients,), optional
            Weights, not negative; a patient with weight 2 counts twice.

        Raises
        ------
        InputError
            If the model is not fitted, an arm is not among its arms, y is not 0/1, or the method has no
            finite estimate (one class of outcome; predictions all equal, or separating the classes).
        """
        check_choice("method", self.method, METHODS)
        self.arms_ = np.asarray(arms_of(self.model), dtype=object)
        self.classes_ = np.array([0, 1])
        frame = frame_of(X, self, reset=True)
        received = check_known_arms(received_arms(frame, self.arm), self.arms_, fewest_named=SMALLEST_GROUP)
        check_same_length(X=frame, y=np.asarray(y))
        outcome = check_binary("y", y)
        if not len(frame):
            raise InputError("X has no rows.")
        weights = check_weights("sample_weight", sample_weight, len(frame))
        used = weights > 0
        codes = pd.Index(self.arms_).get_indexer(received)[used]
        self._learn(covariates_of(frame, self.arm)[used], codes, outcome[used], weights[used])
        names = names_of(self.model, frame, self.arm)
        self.n_features_in_ = len(names)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(names, dtype=object)
            own = received_row_keys(frame.loc[used, names], received[used])
            self.row_keys_ = np.union1d(own, getattr(self.model, "row_keys_", own))
        return self

    def _learn(
        self, covariates: pd.DataFrame, codes: Codes, outcome: FloatArray, weights: FloatArray
    ) -> None:
        if self.method == "refit":
            named = covariates[names_of(self.model, covariates, self.arm)]
            found: Refit | Recalibration = Refit.learn(named, codes, outcome, weights, n_arms=len(self.arms_))
        else:
            logits = base_logits(self.model, covariates)
            found = learn_recalibration(self.method, logits, codes, outcome, weights)
        if problem := self._problem(found, codes, outcome):
            raise InputError(f"The recalibration {self.method!r} cannot be fitted: {problem}")
        self.covariance_: FloatArray | None = None
        if isinstance(found, Recalibration):
            additive = additive_of(self.model)
            self._additive = None if additive is None else found.apply_to(additive, covariates)
            self._recalibration = found.without_patients()
            self.covariance_ = found.best.covariance
            self.shift_, self.slope_ = pd.Series(found.shift, index=self.arms_), found.slope
        else:
            self._additive = found.additive(self.arms_)
            self.shift_, self.slope_ = pd.Series(np.nan, index=self.arms_), float("nan")
        self.log_likelihood_, self.n_parameters_ = found.log_likelihood, found.n_parameters

    def _problem(self, found: "Refit | Recalibration", codes: Codes, outcome: FloatArray) -> str | None:
        """Return the reason why there is no finite estimate, or None."""
        if self.method in ("per_arm", "refit"):
            for k, arm in enumerate(self.arms_):
                n, n_events = int((codes == k).sum()), int(outcome[codes == k].sum())
                if n_events in (0, n):
                    return (
                        f"arm {arm!r} has {count_of(n, 'patient')} with a weight above 0 and only one class "
                        f"of outcome ({count_of(n_events, 'event')}). Both are needed in every arm; choose "
                        "'slope' or 'intercept'."
                    )
        return found.problem

    def predict_by_arm(self, X: Any) -> pd.DataFrame:
        """Return outcome probabilities, DataFrame of shape (n_patients, n_arms)."""
        covariates = self._covariates(X)
        if self._additive is not None:
            return self._additive.predict_by_arm(covariates)
        logits = self._recalibration.apply(base_logits(self.model, covariates))
        return pd.DataFrame(expit(logits), index=covariates.index, columns=pd.Index(self.arms_))

    def predict_draws(self, X: Any) -> FloatArray:
        """Return draws of the probabilities, shape (n_draws, n_patients, n_arms); arms as in `arms_`.

        Raises
        ------
        UnsupportedModelError
            If the model cannot be written as a sum of terms, or has no draws.
        """
        covariates = self._covariates(X)
        return self.additive().predict_draws(covariates)

    def additive(self) -> AdditiveModel:
        """Return the recalibrated model as sums of terms on the logit scale.

        Raises
        ------
        UnsupportedModelError
            If the model cannot be written as a sum of terms.
        """
        check_is_fitted(self)
        if self._additive is None:
            self.model.additive()  # raises with the reason
            raise UnsupportedModelError(f"{type(self.model).__name__} cannot be written as a sum of terms.")
        return self._additive


def base_logits(model: Any, covariates: pd.DataFrame) -> FloatArray:
    """Return the logits of a fitted model, shape (n_patients, n_arms), at known sites where X holds them.

    A model that is not a sum of terms may predict exactly 0 or 1; such predictions are replaced by 1e-8 and
    1 - 1e-8, with a warning.
    """
    additive = additive_of(model)
    if additive is not None:
        return additive.logit(additive.encoding.encode(covariates), additive.sites_of(covariates, "known"))
    probability = model.predict_by_arm(covariates).to_numpy(dtype=float)
    return logits_of(probability)


def arms_of(model: Any) -> Any:
    """Return the arms of a fitted model, or raise if it is not one."""
    if hasattr(model, "models_"):
        names = ", ".join(map(repr, model.models_))
        raise InputError(
            f"model is a selector. Give its model of one outcome: selector.models_[...] with one of {names}."
        )
    if not hasattr(model, "predict_by_arm"):
        raise InputError(f"model is a {type(model).__name__}, which has no predict_by_arm.")
    try:
        return model.arms_ if isinstance(model, AdditiveModel) else _fitted(model).arms_
    except (NotFittedError, AttributeError):
        raise InputError(
            f"model is a {type(model).__name__} that is not fitted. Fit it to a development cohort first."
        ) from None


def _fitted(model: Any) -> Any:
    check_is_fitted(model)
    return model


def names_of(model: Any, frame: pd.DataFrame, arm: str | None) -> list[Any]:
    """Return the names of a fitted model's covariates; if it has none, those of all columns of the frame."""
    if isinstance(model, AdditiveModel):
        return model.encoding.names
    return list(getattr(model, "feature_names_in_", covariates_of(frame, arm).columns))
