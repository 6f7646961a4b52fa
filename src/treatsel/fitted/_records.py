"""Predictions, recommendations and inputs of explanations for one record, without pandas."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive import LOW_PROPENSITY, rows_of_draws
from treatsel.fitted._data import Inputs, ModelData
from treatsel.fitted._options import DecisionOptions, recorded
from treatsel.fitted._score import Score
from treatsel.fitted._service import numbers, services, site_in_record
from treatsel.predictions import OUT_OF_SCOPE_CODES, Predictions, digest_one, flags_of
from treatsel.preference import utility
from treatsel.recommendation import Recommendations, reasons_of, recommend_arrays, with_causes

Record = Mapping[str, Any]
Flags = list[tuple[str, Any]]


def predict_by_arm(
    model: ModelData, record: Record, outcome: str, on_invalid: str, service: str
) -> dict[Any, float]:
    """Return the probability of an outcome under each arm; NaN for a patient out of scope, if flagged."""
    values, site, flags = _read(model, record, on_invalid, None, service)
    if on_invalid == "flag" and any(code in OUT_OF_SCOPE_CODES for code, _ in flags):
        return dict.fromkeys(model.arms, np.nan)
    return dict(
        zip(model.arms, model.scorers[outcome].score(values, site, service).probability.tolist(), strict=True)
    )


def _read(
    model: ModelData, record: Record, on_invalid: str, date: datetime.date | None, service: str
) -> tuple[dict[str, Any], str | None, Flags]:
    """Return clean values, the site, and warnings about the values and about the model on this date.

    A site that is used is among the values.
    """
    values, flags = model.reader.read(record, on_invalid)
    used = site_in_record(model, record, service)
    site = next(iter(used.values()), None)
    return values | used, site, [*flags, ("model_expired", None)] if model.is_expired(date) else flags


def predict(
    model: ModelData,
    record: Record,
    *,
    level: float,
    on_invalid: str,
    date: datetime.date | None,
    service: str,
) -> Predictions:
    """Return all probabilities with intervals, warnings and audit record."""
    values, site, flags = _read(model, record, on_invalid, date, service)
    scores = {name: scorer.score(values, site, service) for name, scorer in model.scorers.items()}
    bounds = {name: score.interval(level) for name, score in scores.items()}
    if not all(scorer.has_posterior_draws for scorer in model.scorers.values()):
        flags.append(("no_interval", None))
    if model.assignment != "randomised":
        flags += [("low_propensity", arm) for arm in _rarely_given(model, values)]
    patient = model.reader.patient(record)
    return Predictions(
        patients=(patient,),
        arms=model.arms,
        probability={name: score.probability[None] for name, score in scores.items()},
        lower={name: lower[None] for name, (lower, _) in bounds.items()},
        upper={name: upper[None] for name, (_, upper) in bounds.items()},
        level=level,
        flags=flags_of(patient, flags),
        audit=model.audit("predictions", digest_one(values), on_invalid, date, service, level=level),
        titles=model.codebook.titles,
        service=services(model, [site], service),
    )


def recommend(model: ModelData, record: Record, options: DecisionOptions) -> Recommendations:
    """Return the recommendation for this patient."""
    weights = options.weights
    values, site, flags = _read(model, record, options.on_invalid, options.date, options.service)
    scores = {name: model.scorers[name].score(values, site, options.service) for name in weights}
    probability = {name: score.probability for name, score in scores.items()}
    reasons, patient = reasons_of(options.excluded, model.arms), model.reader.patient(record)
    found = recommend_arrays(
        np.asarray(utility(probability, weights, model.event_is_good))[None],
        patients=(patient,),
        arms=model.arms,
        draws=_utility_draws(model, scores, weights),
        permitted=np.array([[arm not in reasons for arm in model.arms]]),
        reasons=reasons,
        evidence=model.evidence(weights),
        in_scope=np.array([not any(code in OUT_OF_SCOPE_CODES for code, _ in flags)]),
        by=options.by,
    )
    given, silent = flags_of(patient, flags), model.without_interval(weights)
    found = replace(
        found,
        columns=with_causes(found.columns, given, [0] * len(flags), silent),
        preferences=options.preferences,
        flags=given,
    )
    common = options.on_invalid, options.date, options.service
    audit = model.audit("recommendations", digest_one(values), *common)
    return replace(found, audit=audit | recorded(found, None))


def inputs(
    model: ModelData, record: Record, outcome: str, on_invalid: str, date: datetime.date | None, service: str
) -> Inputs:
    """Return what an explanation of this record needs."""
    values, site, flags = _read(model, record, on_invalid, date, service)
    additive, patient = model.scorers[outcome].model, model.reader.patient(record)
    encoding = additive.encoding
    return Inputs(
        patients=(patient,),
        matrix=encoding.encode_one(values),
        values={k: [values[k]] for k in encoding.names},
        flags=flags_of(patient, flags),
        sha256=digest_one(values),
        sites=numbers(additive, [site], service),
    )


def _rarely_given(model: ModelData, values: Record) -> list[Any]:
    assignment = model.assignment_model
    probability = assignment.predict_proba(assignment.encoding.encode_one(values))[0]
    return [arm for arm, share in zip(assignment.arms_, probability, strict=True) if share < LOW_PROPENSITY]


def _utility_draws(
    model: ModelData, scores: Mapping[str, Score], weights: Mapping[str, float]
) -> FloatArray | None:
    """Return draws of the utility, shape (n_draws, 1, n_arms); None if a model has none."""
    if not all(score.scorer.has_posterior_draws for score in scores.values()):
        return None
    rows = rows_of_draws({name: scores[name].scorer.model for name in weights})
    draws = {name: scores[name].draws[rows[name]] for name in weights}
    return np.asarray(utility(draws, weights, model.event_is_good))[:, None, :]
