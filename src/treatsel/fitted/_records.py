"""Predictions, recommendations and inputs of explanations for one record, without pandas."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive import LOW_PROPENSITY, pairing
from treatsel.fitted._data import ModelData
from treatsel.fitted._score import Score
from treatsel.predictions import OUT_OF_SCOPE_CODES, Predictions, digest_one, flags_of
from treatsel.preference import utility
from treatsel.recommendation import Recommendations, check_rule, reasons_of, recommend_arrays

Record = Mapping[str, Any]


def predict_by_arm(model: ModelData, record: Record, outcome: str) -> dict[Any, float]:
    """Return the probability of an outcome under each arm."""
    values, _ = model.reader.read(record, "raise")
    return dict(zip(model.arms, model.scorers[outcome].score(values).probability.tolist(), strict=True))


def predict(model: ModelData, record: Record, *, level: float, on_invalid: str) -> Predictions:
    """Return all probabilities with intervals, warnings and audit record."""
    values, flags = model.reader.read(record, on_invalid)
    scores = {name: scorer.score(values) for name, scorer in model.scorers.items()}
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
        audit=model.audit(digest_one(values), level, on_invalid),
        titles=model.codebook.titles,
    )


def recommend(
    model: ModelData,
    record: Record,
    weights: Mapping[str, float],
    *,
    excluded: Mapping[Any, str] | None,
    on_invalid: str,
    rule: str,
    margin: float,
    level: float,
) -> Recommendations:
    """Return the recommendation for this patient."""
    check_rule(rule, margin, level, model.default_arm, model.arms)
    values, flags = model.reader.read(record, on_invalid)
    scores = {name: model.scorers[name].score(values) for name in weights}
    probability = {name: score.probability for name, score in scores.items()}
    reasons, patient = reasons_of(excluded, model.arms), model.reader.patient(record)
    found = recommend_arrays(
        np.asarray(utility(probability, weights, model.event_is_good))[None],
        patients=(patient,),
        arms=model.arms,
        draws=_utility_draws(model, scores, weights),
        default_arm=model.default_arm,
        permitted=np.array([[arm not in reasons for arm in model.arms]]),
        reasons=reasons,
        evidence=model.evidence(weights),
        in_scope=np.array([not any(code in OUT_OF_SCOPE_CODES for code, _ in flags)]),
        rule=rule,
        margin=margin,
        level=level,
    )
    audit = model.audit(digest_one(values), level, on_invalid)
    return replace(found, flags=flags_of(patient, flags), audit=audit)


def inputs(
    model: ModelData, record: Record, outcome: str, on_invalid: str
) -> tuple[tuple[Any], FloatArray, dict[str, Any]]:
    """Return the patient, the encoded record, and its values by covariate."""
    values, _ = model.reader.read(record, on_invalid)
    encoding = model.scorers[outcome].model.encoding
    return (
        (model.reader.patient(record),),
        encoding.encode_one(values),
        {k: [values[k]] for k in encoding.names},
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
    draws = {name: scores[name].draws[pairing(i, len(scores[name].draws))] for i, name in enumerate(weights)}
    return np.asarray(utility(draws, weights, model.event_is_good))[:, None, :]
