"""Warnings that a model applies less well to a patient, although every value is within its range."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel.additive import LOW_PROPENSITY
from treatsel.fitted._data import ModelData

if TYPE_CHECKING:
    import pandas as pd

MOST_MISSING = 0.5  # share of the covariates; with more, the prediction is mostly that of an average patient


def of_record(model: ModelData, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (code, column or arm) pairs for a patient's clean values."""
    names, distance = model.covariate_names, model.development_distance
    found: list[tuple[str, Any]] = []
    absent = [name for name in names if (value := values[name]) is None or value != value]
    if len(absent) > MOST_MISSING * len(names):
        found.append(("many_missing", None))
    if distance.is_far_one(np.array([values[name] for name in distance.names], dtype=np.float64)):
        found.append(("far_from_development", None))
    if model.assignment != "randomised":
        assignment = model.assignment_model
        probability = assignment.predict_proba(assignment.encoding.encode_one(values))[0]
        rare = (probability < LOW_PROPENSITY).nonzero()[0]
        found += [("low_propensity", assignment.arms_[k]) for k in rare]
    return found


def of_table(model: ModelData, clean: "pd.DataFrame") -> dict[str, np.ndarray]:
    """Return the same for a table of clean covariates, as columns patient, code and column."""
    names, distance = list(model.codebook.covariates), model.development_distance
    patients = clean.index.to_numpy(dtype=object)
    absent = clean[names].isna().to_numpy().sum(axis=1)
    x = clean[list(distance.names)].to_numpy(dtype=np.float64)
    masks = {
        "many_missing": absent > MOST_MISSING * len(names),
        "far_from_development": distance.is_far(x.reshape(len(clean), -1)),
    }
    parts = [(patients[mask], code, np.full(int(mask.sum()), None)) for code, mask in masks.items()]
    if model.assignment != "randomised":
        assignment = model.assignment_model
        rows, arms = np.nonzero(assignment.predict_proba(assignment.encoding.encode(clean)) < LOW_PROPENSITY)
        parts.append((patients[rows], "low_propensity", assignment.arms_[arms]))
    return {
        "patient": np.concatenate([who for who, _, _ in parts]),
        "code": np.concatenate([np.full(len(who), code, dtype=object) for who, code, _ in parts]),
        "column": np.concatenate([about.astype(object) for _, _, about in parts]),
    }
