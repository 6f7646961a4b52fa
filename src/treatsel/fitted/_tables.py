"""Predictions, recommendations and inputs of explanations for a table; pandas is imported when called."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, by_text
from treatsel.additive import AdditiveModel, logistic, logistic_quantiles
from treatsel.codebook import by_id, clean_covariates, frame_of
from treatsel.errors import InputError
from treatsel.explanation import Explanation, explain_predictions
from treatsel.fitted import _applicability
from treatsel.fitted._data import Inputs, ModelData
from treatsel.fitted._options import DecisionOptions, at_weights, recorded
from treatsel.fitted._service import numbers, services, with_sites
from treatsel.predictions import FLAG_COLUMNS, UNREADABLE_CODES, Predictions, digest, scope_of
from treatsel.preference import Valuation
from treatsel.recommendation import (
    PatientOutcomes,
    Recommendations,
    permissions,
    reasons_of,
    recommend_arrays,
    with_causes,
)

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


def read_with_sites(
    model: ModelData, X: Any, on_invalid: str, service: str
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return clean covariates with the sites that are used, and warnings."""
    frame = frame_of(X)
    clean, found = read(model, frame, on_invalid)
    return with_sites(model, clean, frame, service), found


def predict_by_arm(model: ModelData, X: Any, outcome: str, on_invalid: str, service: str) -> "pd.DataFrame":
    """Return the probability of an outcome under each arm, DataFrame of shape (n_patients, n_arms).

    Patients out of scope are NaN if invalid values are flagged.
    """
    clean, found = read_with_sites(model, X, on_invalid, service)
    by_arm = _probability(model, clean, outcome, service)
    if on_invalid == "raise":
        return by_arm
    flags = {name: found[name].to_numpy(dtype=object) for name in FLAG_COLUMNS}
    by_arm.loc[scope_of(clean.index, flags)] = np.nan
    return by_arm


def predict(
    model: ModelData, X: Any, *, level: float, on_invalid: str, date: datetime.date | None, service: str
) -> Predictions:
    """Return all probabilities with intervals, warnings and audit record."""
    clean, found = read_with_sites(model, X, on_invalid, service)
    probability, lower, upper = {}, {}, {}
    for name in model.outcomes:
        probability[name] = _probability(model, clean, name, service).to_numpy()
        shape = probability[name].shape
        lower[name], upper[name] = _interval(model.models[name], clean, shape, level, service)
    return Predictions(
        patients=clean.index,
        arms=model.arms,
        probability=probability,
        lower=lower,
        upper=upper,
        level=level,
        flags=_flags(model, clean, found, date),
        audit=model.audit("predictions", digest(clean), on_invalid, date, service, level=level),
        titles=model.codebook.titles,
        safety_items=model.safety_items,
        service=services(model, _sites_in(model, clean), service),
    )


def recommend(
    model: ModelData, X: Any, options: DecisionOptions, *, allowed: "pd.DataFrame | None"
) -> Recommendations:
    """Return the recommendation for each patient."""
    import pandas as pd

    frame = frame_of(X)
    clean, noted = read_with_sites(model, frame, options.on_invalid, options.service)
    valuation = options.valuation
    weights = valuation.weights
    tables = {name: _probability(model, clean, name, options.service) for name in weights}
    flags = _with_applicability(model, clean, _columns(model, clean, noted, options.date))
    in_scope = ~scope_of(clean.index, flags)
    permitted = permissions(allowed, clean.index, model.arms)
    reasons = reasons_of(options.excluded, model.arms)
    permitted = permitted & np.array([arm not in reasons for arm in model.arms])
    by_rules = None
    if options.eligibility is not None:
        applied = options.eligibility.apply(_readable(by_id(frame, model.codebook), noted))
        permitted = permitted & applied.allowed.to_numpy()
        by_rules = applied.texts()
    parts = []
    for start in range(0, len(clean), BLOCK):
        rows = slice(start, start + BLOCK)
        block = {name: table.iloc[rows] for name, table in tables.items()}
        parts.append(
            recommend_arrays(
                np.asarray(valuation.of_values(block)),
                patients=clean.index[rows],
                arms=model.arms,
                draws=_utility_draws(model, clean.iloc[rows], valuation, options.service),
                permitted=permitted[rows],
                reasons=reasons,
                evidence=model.evidence(weights),
                in_scope=in_scope[rows],
                by=options.by,
                by_rules=None if by_rules is None else by_rules[rows],
            )
        )
    whole = Recommendations.join(parts, patients=clean.index)
    flagged = flags["patient"]
    positions: list[int] = clean.index.get_indexer(pd.Index(flagged)).tolist() if len(flagged) else []
    columns = with_causes(whole.columns, flags, positions, model.without_interval(weights))
    common = options.on_invalid, options.date, options.service
    audit = model.audit("recommendations", digest(clean), *common)
    return replace(
        whole,
        columns=columns,
        preferences=valuation.given,
        titles=model.codebook.titles,
        safety_items=model.safety_items,
        flags=flags,
        audit=audit | recorded(whole, columns, options, _permissions_digest(allowed, clean, model.arms)),
        outcomes=_outcomes(model, X, clean, options, allowed) if len(clean) == 1 else None,
    )


def _outcomes(
    model: ModelData, X: Any, clean: "pd.DataFrame", options: DecisionOptions, allowed: Any
) -> PatientOutcomes:
    """Return what the page of the only patient of a table shows; it is computed when asked for."""
    table, permissions = frame_of(X).copy(), None if allowed is None else allowed.copy()
    common: Any = {name: getattr(options, name) for name in ("on_invalid", "date", "service")}

    def as_with(changed: DecisionOptions) -> Recommendations:
        return recommend(model, table, changed, allowed=permissions)

    known = _sites_in(model, clean)[0] is not None
    return PatientOutcomes(
        event_is_good=model.event_is_good,
        titles=model.codebook.titles,
        predict=partial(predict, model, table, level=options.by.level, **common),
        draw=partial(_draws_of, model, clean, options.service),
        decide=lambda weights: as_with(at_weights(options, weights)),
        evidence=model.evidence,
        valuation=options.valuation,
        at_new_service=(lambda: as_with(replace(options, service="new"))) if known else None,
    )


def _draws_of(model: ModelData, clean: "pd.DataFrame", service: str, outcome: str) -> FloatArray | None:
    """Return draws of an outcome of the only patient, shape (n_draws, n_arms); None if there are none."""
    draws = _drawn(model, clean, outcome, service)
    return None if draws is None else np.asarray(draws[0].T)


def _readable(frame: "pd.DataFrame", noted: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table without the noted values that cannot be read: to rules they are unknown."""
    unreadable = noted[noted["code"].isin(UNREADABLE_CODES) & noted["column"].isin(frame.columns)]
    if unreadable.empty:
        return frame
    frame = frame.astype(dict.fromkeys(unreadable["column"].unique(), "object"))
    for name, rows in unreadable.groupby("column"):
        frame.loc[rows["patient"], name] = None
    return frame


def _permissions_digest(allowed: Any, clean: "pd.DataFrame", arms: tuple[Any, ...]) -> str | None:
    """Return the digest of a table of permissions that was checked before; None without one."""
    if allowed is None:
        return None
    from treatsel._stats.alignment import aligned

    return digest(aligned("allowed", allowed, clean.index).rename(columns=by_text(arms))[list(arms)])


def inputs(
    model: ModelData, X: Any, outcome: str, on_invalid: str, date: datetime.date | None, service: str
) -> Inputs:
    """Return what an explanation of these patients needs."""
    clean, noted = read_with_sites(model, X, on_invalid, service)
    additive = model.models[outcome]
    names = list(model.codebook.covariates) if additive is None else additive.encoding.names
    return Inputs(
        patients=clean.index,
        matrix=np.empty((len(clean), 0)) if additive is None else additive.encoding.encode(clean),
        values={name: clean[name].array for name in names},
        flags=_columns(model, clean, noted, date),
        sha256=digest(clean),
        sites=None if additive is None else numbers(additive, _sites_in(model, clean), service),
    )


def explain(
    model: ModelData, given: Inputs, outcome: str, background: "pd.DataFrame | None", **options: Any
) -> Explanation:
    """Explain the predictions of an estimator that is not a sum of terms."""
    import pandas as pd

    clean = pd.DataFrame(dict(given.values), index=pd.Index(given.patients))
    if background is None:
        rows = pd.DataFrame(dict(model.development.background))
        if not len(rows):
            raise InputError("This model has no background. Pass background=, rows of covariates.")
    else:
        rows = read(model, background, "flag")[0]
    return explain_predictions(
        model.estimators[outcome], clean, rows[list(clean)], outcome=outcome, **options
    )


def _sites_in(model: ModelData, clean: "pd.DataFrame") -> list[Any]:
    """Return each patient's site, None if it is not known or not used."""
    return clean[model.site_column].tolist() if model.site_column in clean else [None] * len(clean)


def _probability(model: ModelData, clean: "pd.DataFrame", outcome: str, service: str) -> "pd.DataFrame":
    """Score by the sum of terms, as for a record; by the estimator only if there is no such sum."""
    scorer = model.models[outcome]
    if scorer is not None:
        return scorer.predict_by_arm(clean, service)
    table: pd.DataFrame = model.estimators[outcome].predict_by_arm(clean)
    return table


def _interval(
    model: AdditiveModel | None, clean: "pd.DataFrame", shape: tuple[int, ...], level: float, service: str
) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of the probabilities from the model's draws; NaN if it has none."""
    bounds = np.full((2, *shape), np.nan)
    if model is not None and model.coefficient_draws is not None:
        for start in range(0, len(clean), BLOCK):
            draws = model.logit_draws(clean.iloc[start : start + BLOCK], service)
            tails = [(1 - level) / 2, (1 + level) / 2]
            bounds[:, start : start + BLOCK] = logistic_quantiles(draws, tails)
    return bounds[0], bounds[1]


def _columns(
    model: ModelData, clean: "pd.DataFrame", found: "pd.DataFrame", date: datetime.date | None
) -> dict[str, np.ndarray]:
    """Return warnings about values in the table, and about the model on this date."""
    columns = {name: [found[name].to_numpy(dtype=object)] for name in FLAG_COLUMNS}
    if model.is_expired(date):
        _add_to_all(columns, clean, "model_expired")
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _flags(
    model: ModelData, clean: "pd.DataFrame", found: "pd.DataFrame", date: datetime.date | None
) -> dict[str, np.ndarray]:
    """Return the same, and warnings about models without intervals and about their applicability."""
    columns = {name: [values] for name, values in _columns(model, clean, found, date).items()}
    if not all(model.has_posterior_draws(name) for name in model.outcomes):
        _add_to_all(columns, clean, "no_interval")
    return _with_applicability(model, clean, {name: np.concatenate(each) for name, each in columns.items()})


def _with_applicability(
    model: ModelData, clean: "pd.DataFrame", flags: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return warnings, followed by those of how well the model applies to patients."""
    more = _applicability.of_table(model, clean)
    return {name: np.concatenate([values, more[name]]) for name, values in flags.items()}


def _add_to_all(columns: Mapping[str, list[np.ndarray]], clean: "pd.DataFrame", code: str) -> None:
    """Add a warning without a column for every patient."""
    n, patients = len(clean), clean.index.to_numpy(dtype=object)
    _add(columns, patients, np.full(n, code, dtype=object), np.full(n, None))


def _add(columns: Mapping[str, list[np.ndarray]], *values: np.ndarray) -> None:
    for part, value in zip(columns.values(), values, strict=True):
        part.append(value)


def _utility_draws(
    model: ModelData, clean: "pd.DataFrame", valuation: Valuation, service: str
) -> FloatArray | None:
    """Return draws of the utility, shape (n_draws, n_patients, n_arms); None if a model has none."""
    draws = {}
    for name in valuation.weights:
        found = _drawn(model, clean, name, service)
        if found is None:
            return None
        draws[name] = found
    return np.moveaxis(valuation.of_draws(draws), -1, 0)


def _drawn(model: ModelData, clean: "pd.DataFrame", outcome: str, service: str) -> FloatArray | None:
    """Return draws, shape (n_patients, n_arms, n_draws), of which those with one index are joint."""
    additive = model.models[outcome]
    if additive is None or additive.coefficient_draws is None:
        return None
    return logistic(additive.logit_draws(clean, service, model.draw_rows[outcome]))


def background_of(rows: Any) -> "pd.DataFrame":
    """Return the rows of a background as a table."""
    if hasattr(rows, "__len__") and not len(rows):
        raise InputError("background has no rows. Pass rows of covariates, or leave it out.")
    return frame_of(rows)
