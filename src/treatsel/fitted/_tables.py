"""Predictions, recommendations and inputs of explanations for a table; pandas is imported when called."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive import LOW_PROPENSITY, AdditiveModel, pairing, quantiles
from treatsel.codebook import by_id, clean_covariates, frame_of
from treatsel.errors import InputError
from treatsel.fitted._data import ModelData
from treatsel.predictions import FLAG_COLUMNS, Predictions, digest, scope_of
from treatsel.preference import utility
from treatsel.recommendation import Recommendations
from treatsel.recommendation import recommend as recommend_by_arm

if TYPE_CHECKING:
    import pandas as pd

Flags = Mapping[str, Any]
BLOCK = 512  # patients whose draws are in memory at once: with 1,000 draws and 6 arms some 25 MB


def read(model: ModelData, X: Any, on_invalid: str) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return clean covariates, and one row (patient, code, column) per warning."""
    import pandas as pd

    frame = by_id(frame_of(X), model.codebook)
    ranges = pd.DataFrame.from_dict(
        dict(model.development.ranges), orient="index", columns=["lower", "upper"], dtype="float64"
    )
    return clean_covariates(frame, model.codebook, ranges, on_invalid, model.known_levels)


def predict_by_arm(model: ModelData, X: Any, outcome: str) -> "pd.DataFrame":
    """Return the probability of an outcome under each arm, DataFrame of shape (n_patients, n_arms)."""
    return _probability(model, read(model, X, "raise")[0], outcome)


def predict(model: ModelData, X: Any, *, level: float, on_invalid: str) -> Predictions:
    """Return all probabilities with intervals, warnings and audit record."""
    clean, found = read(model, X, on_invalid)
    probability, lower, upper = {}, {}, {}
    for name in model.outcomes:
        probability[name] = _probability(model, clean, name).to_numpy()
        lower[name], upper[name] = _interval(model.models[name], clean, probability[name].shape, level)
    return Predictions(
        patients=clean.index,
        arms=model.arms,
        probability=probability,
        lower=lower,
        upper=upper,
        level=level,
        flags=_flags(model, clean, found),
        audit=model.audit(digest(clean), level, on_invalid),
    )


def recommend(
    model: ModelData,
    X: Any,
    weights: Mapping[str, float],
    *,
    allowed: "pd.DataFrame | None",
    excluded: Mapping[Any, str] | None,
    on_invalid: str,
    rule: str,
    margin: float,
    level: float,
) -> Recommendations:
    """Return the recommendation for each patient."""
    import pandas as pd

    clean, found = read(model, X, on_invalid)
    tables = {name: _probability(model, clean, name) for name in weights}
    flags = {name: found[name].to_numpy(dtype=object) for name in FLAG_COLUMNS}
    in_scope = pd.Series(~scope_of(clean.index, flags), index=clean.index)
    parts = []
    for start in range(0, len(clean), BLOCK):
        rows = slice(start, start + BLOCK)
        block = {name: table.iloc[rows] for name, table in tables.items()}
        parts.append(
            recommend_by_arm(
                utility(block, weights, model.event_is_good),
                draws=_utility_draws(model, clean.iloc[rows], weights),
                default_arm=model.default_arm,
                allowed=allowed,
                excluded=excluded,
                evidence=model.evidence(weights),
                in_scope=in_scope.iloc[rows],
                rule=rule,
                margin=margin,
                level=level,
            )
        )
    whole = Recommendations.join(parts, patients=clean.index)
    return replace(whole, flags=flags, audit=model.audit(digest(clean), level, on_invalid))


def inputs(
    model: ModelData, X: Any, outcome: str, on_invalid: str
) -> "tuple[pd.Index[Any], FloatArray, dict[str, Any]]":
    """Return the patients, their encoded covariates, and the values by covariate."""
    clean = read(model, X, on_invalid)[0]
    encoding = model.scorers[outcome].model.encoding
    return clean.index, encoding.encode(clean), {name: clean[name].array for name in encoding.names}


def _probability(model: ModelData, clean: "pd.DataFrame", outcome: str) -> "pd.DataFrame":
    """Score by the sum of terms, as for a record; by the estimator only if there is no such sum."""
    scorer = model.models[outcome]
    table: pd.DataFrame = (model.estimators[outcome] if scorer is None else scorer).predict_by_arm(clean)
    return table


def _interval(
    model: AdditiveModel | None, clean: "pd.DataFrame", shape: tuple[int, ...], level: float
) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of the probabilities from the model's draws; NaN if it has none."""
    bounds = np.full((2, *shape), np.nan)
    if model is not None and model.coefficient_draws is not None:
        for start in range(0, len(clean), BLOCK):
            draws = model.predict_draws(clean.iloc[start : start + BLOCK])
            tails = [(1 - level) / 2, (1 + level) / 2]
            bounds[:, start : start + BLOCK] = quantiles(np.moveaxis(draws, 0, -1), tails)
    return bounds[0], bounds[1]


def _flags(model: ModelData, clean: "pd.DataFrame", found: "pd.DataFrame") -> dict[str, np.ndarray]:
    """Return warnings about values in the table, models without intervals, and low propensities."""
    columns = {name: [found[name].to_numpy(dtype=object)] for name in FLAG_COLUMNS}
    patients = clean.index.to_numpy(dtype=object)
    if not all(model.has_posterior_draws(name) for name in model.outcomes):
        _add(columns, patients, np.full(len(clean), "no_interval", dtype=object), np.full(len(clean), None))
    if model.assignment != "randomised":
        assignment = model.assignment_model
        rows, arms = np.nonzero(assignment.predict_proba(assignment.encoding.encode(clean)) < LOW_PROPENSITY)
        code = np.full(len(rows), "low_propensity", dtype=object)
        _add(columns, patients[rows], code, assignment.arms_[arms])
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _add(columns: Mapping[str, list[np.ndarray]], *values: np.ndarray) -> None:
    for part, value in zip(columns.values(), values, strict=True):
        part.append(value)


def _utility_draws(
    model: ModelData, clean: "pd.DataFrame", weights: Mapping[str, float]
) -> FloatArray | None:
    """Return draws of the utility, shape (n_draws, n_patients, n_arms); None if a model has none."""
    draws = {}
    for number, name in enumerate(weights):
        scorer = model.models[name]
        if scorer is None or scorer.coefficient_draws is None:
            return None
        of_outcome = scorer.predict_draws(clean)
        draws[name] = of_outcome[pairing(number, len(of_outcome))]
    return np.asarray(utility(draws, weights, model.event_is_good))


def background_of(rows: Any) -> "pd.DataFrame":
    """Return the rows of a background as a table."""
    if hasattr(rows, "__len__") and not len(rows):
        raise InputError("background has no rows. Pass rows of covariates, or leave it out.")
    return frame_of(rows)
