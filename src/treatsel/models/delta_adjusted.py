"""Delta-adjustment: a fitted model in which patients whose outcome was lost fare worse by a stated amount.

A model learns from the patients whose outcome was observed, as if the others fared alike given arm,
covariates and dropout (missing at random). The data cannot say whether they do. With a shift,

    P(y | x, k) = (1 - L) p + L expit(logit p + shift),

where p is the model's probability and L the probability that the outcome is lost, given covariates, arm and,
if the model is averaged over dropout, dropout.

References
----------
Little (1993), JASA 88(421), 125-134. doi:10.1080/01621459.1993.10594302 (pattern-mixture model)
White, Horton, Carpenter & Pocock (2011), BMJ 342, d40. doi:10.1136/bmj.d40 (sensitivity analyses)
"""

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd

from treatsel._checks import check_binary
from treatsel.additive import AdditiveModel, Column, Encoding, additive_of
from treatsel.errors import InputError
from treatsel.models._mixture import DropoutMixture, mixed
from treatsel.models._wrapped import WrappedClassifier
from treatsel.models.hierarchical import HierarchicalClassifier

LOST = "lost outcome"  # name of the column for which the average is taken; it is in no table
NEVER = -15.0  # logit of losing an outcome in an arm in which all were observed
STREAM = 7  # random stream that pairs draws; that of dropout is 6


class DeltaAdjustedClassifier(WrappedClassifier):
    """A fitted model in which the patients whose outcome was lost differ by a shift in logits.

    Parameters
    ----------
    model : fitted model
        A model of `treatsel.models` that is a sum of terms with a linear part: hierarchical, stacked, one
        averaged over dropout, or a logistic regression. It is not changed.
    shift : float
        What is added to the logit of the outcome in a patient whose outcome was lost; 0 is no change.
    arm : str, default="arm"
        Column of X that holds the received arm.

    Attributes
    ----------
    loss_ : HierarchicalClassifier
        Model of the loss, fitted to all patients of the arms in which outcomes were lost.
    arms_, classes_
        As in the other models.

    Notes
    -----
    The average is projected on the additive form, as that over dropout: mean probabilities are exact to .004,
    those of a patient to .012 on average, and to .025 with trees (`tests/models/test_delta_adjusted.py`).
    Published estimates (`priors`) of the model enter before the shift.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from treatsel.models import HierarchicalClassifier
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 10, "arm": ["CBT"] * 20 + ["SSRI"] * 20})
    >>> y = np.array([0, 1, 0, 1, np.nan] * 8)
    >>> seen = ~np.isnan(y)
    >>> model = HierarchicalClassifier().fit(X[seen], y[seen])
    >>> worse = DeltaAdjustedClassifier(model, shift=-1.0).fit(X, ~seen)
    >>> (worse.predict_by_arm(X.head(1)) < model.predict_by_arm(X.head(1))).all(axis=None)
    np.True_
    """

    def __init__(self, model: Any, *, shift: float, arm: str = "arm") -> None:
        self.model = model
        self.shift = shift
        self.arm = arm

    def __sklearn_clone__(self) -> "DeltaAdjustedClassifier":
        return type(self)(copy.copy(self.model), shift=self.shift, arm=str(self.arm))

    def fit(self, X: pd.DataFrame, lost: Any) -> Self:
        """Fit the model of the loss.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            All patients, with the columns to which the model was fitted: covariates, arm, and, if it has
            them, site, therapist and dropout.
        lost : array-like of shape (n_patients,)
            Whether the outcome was lost.

        Raises
        ------
        InputError
            If the model is not a sum of terms with a linear part, or no outcome was lost.
        """
        form = additive_of(self.model)
        if form is None or not form.is_linear:
            raise InputError(
                f"A shift of lost outcomes needs a model with linear terms; {type(self.model).__name__} has "
                'none. Use estimator "auto", "hierarchical" or "stacked", or leave the shift out.'
            )
        is_lost = check_binary("lost", lost) == 1
        touched = X[self.arm].isin(X.loc[is_lost, self.arm].unique())
        if not touched.any():
            raise InputError("No outcome was lost; a shift of lost outcomes would change nothing.")
        over_dropout = isinstance(self.model, DropoutMixture)
        base = self.model.estimator if over_dropout else self.model
        columns: dict[str, Any] = {name: getattr(base, name, None) for name in ("groups", "therapists")}
        loss = HierarchicalClassifier(arm=self.arm, **columns)
        self.loss_ = loss.fit(X[touched], is_lost[touched].astype(float))
        of_loss = _in_all_arms(self.loss_.additive(), form.arms_)
        covariates = X.drop(columns=[self.arm, *filter(None, columns.values())])
        if over_dropout:
            inner = _shifted(self.model.outcome_.additive(), of_loss, covariates, self.shift)
            process = self.model.process
            covariates = covariates.drop(columns=process)
            self._additive = mixed(inner, self.model.dropout_.additive(), covariates, process)
        else:
            self._additive = _shifted(form, of_loss, covariates, self.shift)
        self.arms_, self.classes_ = self._additive.arms_, np.array([0, 1])
        self.feature_names_in_ = np.asarray(covariates.columns, dtype=object)
        self.n_features_in_ = covariates.shape[1]
        return self

    def _described_by(self) -> Any:
        return self.__dict__.get("model")


def _shifted(
    outcome: AdditiveModel, loss: AdditiveModel, covariates: pd.DataFrame, shift: float
) -> AdditiveModel:
    """Return a model averaged over the loss of the outcome."""
    return mixed(_with_loss(outcome, shift), loss, covariates, LOST, STREAM)


def _with_loss(model: AdditiveModel, shift: float) -> AdditiveModel:
    """Return a model with one more 0/1 covariate, the loss of the outcome, which adds `shift`."""
    encoding = Encoding((*model.encoding.columns, Column(name=LOST)), native_missing=False)
    n_features, draws, sites = len(model.encoding.features), model.coefficient_draws, model.sites
    if sites is not None:
        sites = replace(sites, coefficients=np.insert(sites.coefficients, n_features, shift, axis=-1))
    return replace(
        model,
        encoding=encoding,
        coefficients=np.insert(model.coefficients, n_features, shift, axis=-1),
        coefficient_draws=None if draws is None else np.insert(draws, 1 + n_features, shift, axis=-1),
        sites=sites,
    )


def _in_all_arms(model: AdditiveModel, arms: np.ndarray) -> AdditiveModel:
    """Return a model of the loss for all arms: in the others, no outcome is lost."""
    position = pd.Index(model.arms_).get_indexer(pd.Index(arms))
    absent = np.flatnonzero(position < 0)

    def placed(values: np.ndarray, axis: int, filler: float) -> np.ndarray:
        found: np.ndarray = np.take(values, position, axis=axis)
        found[(slice(None),) * (axis % found.ndim) + (absent,)] = filler
        return found

    draws, sites = model.coefficient_draws, model.sites
    if draws is not None:
        draws = placed(draws, 1, 0.0)
        draws[:, absent, 0] = NEVER
    if sites is not None:
        sites = replace(
            sites,
            intercept=placed(sites.intercept, 1, NEVER),
            coefficients=placed(sites.coefficients, 0, 0.0),
            draws=None if sites.draws is None else placed(sites.draws, 2, 0.0),
        )
    return replace(
        model,
        arms_=arms,
        intercept=placed(model.intercept, 0, NEVER),
        coefficients=placed(model.coefficients, 0, 0.0),
        coefficient_draws=draws,
        sites=sites,
    )
