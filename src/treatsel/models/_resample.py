"""Fit a model to a bootstrap resample in which no patient is in two folds."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.validation import has_fit_parameter

from treatsel._checks import FloatArray
from treatsel.errors import InputError
from treatsel.models._learners import without_weights


def fit_resample(
    model: Any,
    X: pd.DataFrame,
    y: FloatArray,
    counts: FloatArray,
    groups: pd.Series | None = None,
    **by_patient: FloatArray,
) -> Any:
    """Fit a model to a resample that is given as counts; of a search, return the best model.

    A patient who was drawn twice is one row with weight 2: an inner cross-validation (folds of a stack,
    leave-one-out weights, a search) then holds all copies of the patient out at once. As rows of their own,
    copies would be predicted by a model that was fitted to the same patient. A model without weights gets
    the copies as rows.

    Parameters
    ----------
    model : unfitted model of `treatsel.models`, or a scikit-learn search around one
        It is fitted itself, not a clone.
    X : DataFrame of shape (n_patients, n_columns)
        The patients that were drawn, once each.
    y, counts : ndarray of shape (n_patients,)
        Outcomes, and how often each patient was drawn, 1 or more.
    groups : Series of shape (n_patients,), optional
        Sites, for the folds of a search.
    **by_patient : ndarray of shape (n_patients,)
        Further arguments of `fit`, such as score.

    Raises
    ------
    InputError
        If a search is around a model without weights: its folds would divide the copies of a patient.
    """
    is_search = isinstance(model, BaseSearchCV)
    given: dict[str, Any] = {**by_patient, **({"groups": groups} if is_search and groups is not None else {})}
    if _takes_weights(model.estimator if is_search else model):
        fitted = model.fit(X, y, sample_weight=counts, **given)
        return getattr(fitted, "best_estimator_", fitted)
    if is_search:
        raise InputError(
            f"{type(model.estimator).__name__} in a search does not take sample_weight, so that the folds of "
            "the search would divide the copies of a patient in a resample. Choose a model with weights, or "
            "give the model without the search."
        )
    rows = np.repeat(np.arange(len(y)), counts.astype(np.intp))
    repeated = X.iloc[rows].reset_index(drop=True)
    return model.fit(repeated, y[rows], **{name: values[rows] for name, values in by_patient.items()})


def _takes_weights(model: Any) -> bool:
    """Whether a model takes weights, and the classifier inside it as well."""
    inner = getattr(model, "estimator", None)
    known = inner is None or hasattr(inner, "predict_by_arm") or not hasattr(inner, "fit")
    return has_fit_parameter(model, "sample_weight") and (known or without_weights(inner) is None)
