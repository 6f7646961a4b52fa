"""Base class of the models that rest on fitted models, and are predicted by an additive form of their own."""

from abc import ABC, abstractmethod
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel
from treatsel.models._base import ByArmMixin


class WrappedClassifier(ByArmMixin, ClassifierMixin, BaseEstimator, ABC):
    """Predicts by `_additive`; what else is asked is answered by a model on which it rests."""

    _additive: AdditiveModel

    @abstractmethod
    def _described_by(self) -> Any:
        """Return the fitted model that answers for attributes such as `levels_`; None before the fit."""

    def __getattr__(self, name: str) -> Any:
        """Return what that model says of itself, such as `levels_` and `prior_`."""
        if name.endswith("_") and not name.startswith("_") and (model := self._described_by()) is not None:
            return getattr(model, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")

    def predict_by_arm(self, X: Any, service: str = "known") -> pd.DataFrame:
        """Return outcome probabilities: DataFrame (n_patients, n_arms).

        `service`: "known", "average" or "new", as in the hierarchical model.
        """
        return self._additive.predict_by_arm(self._covariates(X), service)

    def predict_draws(self, X: Any, service: str = "known") -> FloatArray:
        """Return draws of the probabilities, shape (n_draws, n_patients, n_arms); arms as in `arms_`."""
        return self._additive.predict_draws(self._covariates(X), service)

    def additive(self) -> AdditiveModel:
        """Return the model as sums of terms on the logit scale."""
        check_is_fitted(self)
        return self._additive
