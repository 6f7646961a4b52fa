"""Predictions, recommendations and inputs of explanations for one record, without pandas."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.fitted import _applicability
from treatsel.fitted._data import Inputs, ModelData
from treatsel.fitted._options import DecisionOptions, at_weights, recorded
from treatsel.fitted._score import Score
from treatsel.fitted._service import numbers, services, site_in_record
from treatsel.predictions import OUT_OF_SCOPE_CODES, UNREADABLE_CODES, Predictions, digest_one, flags_of
from treatsel.preference import Valuation
from treatsel.recommendation import (
    PatientOutcomes,
    Recommendations,
    reasons_of,
    recommend_arrays,
    with_causes,
)

if TYPE_CHECKING:
    from treatsel.eligibility import PatientEligibility

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
    flags += _applicability.of_record(model, values)
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
        safety_items=model.safety_items,
        service=services(model, [site], service),
    )


def recommend(model: ModelData, record: Record, options: DecisionOptions) -> Recommendations:
    """Return the recommendation for this patient."""
    valuation = options.valuation
    weights = valuation.weights
    values, site, flags = _read(model, record, options.on_invalid, options.date, options.service)
    flags += _applicability.of_record(model, values)
    scores = {name: model.scorers[name].score(values, site, options.service) for name in weights}
    probability = {name: score.probability for name, score in scores.items()}
    reasons, patient = reasons_of(options.excluded, model.arms), model.reader.patient(record)
    applied = _eligibility(options, record, flags)
    permitted = [arm not in reasons and (applied is None or applied.allowed[arm]) for arm in model.arms]
    found = recommend_arrays(
        np.asarray(valuation.of_values(probability))[None],
        patients=(patient,),
        arms=model.arms,
        draws=_utility_draws(model, scores, valuation),
        permitted=np.array([permitted]),
        reasons=reasons,
        evidence=model.evidence(weights),
        in_scope=np.array([not any(code in OUT_OF_SCOPE_CODES for code, _ in flags)]),
        by=options.by,
        compiled=model.compiled,
        by_rules=None if applied is None else [(applied.excluded, applied.warned)],
    )
    given, silent = flags_of(patient, flags), model.without_interval(weights)
    columns = with_causes(found.columns, given, [0] * len(flags), silent)
    common = options.on_invalid, options.date, options.service
    audit = model.audit("recommendations", digest_one(values), *common)
    return replace(
        found,
        columns=columns,
        preferences=valuation.given,
        titles=model.codebook.titles,
        safety_items=model.safety_items,
        flags=given,
        audit=audit | recorded(found, columns, options, None),
        outcomes=_outcomes(model, dict(record), values, site, options),
    )


def _eligibility(options: DecisionOptions, record: Record, flags: Flags) -> "PatientEligibility | None":
    """Return the arms that the rules permit; a value that cannot be read is unknown to them."""
    if options.eligibility is None:
        return None
    unreadable = [column for code, column in flags if code in UNREADABLE_CODES]
    return options.eligibility.apply_record({**record, **dict.fromkeys(unreadable)} if unreadable else record)


def _outcomes(
    model: ModelData, record: Record, values: Record, site: str | None, options: DecisionOptions
) -> PatientOutcomes:
    """Return what the page of this patient shows; nothing is computed here, so that no service waits."""
    common: Any = {name: getattr(options, name) for name in ("on_invalid", "date", "service")}
    return PatientOutcomes(
        event_is_good=model.event_is_good,
        titles=model.codebook.titles,
        predict=partial(predict, model, record, level=options.by.level, **common),
        draw=partial(_draws_of, model, values, site, options.service),
        decide=lambda weights: recommend(model, record, at_weights(options, weights)),
        evidence=model.evidence,
        valuation=options.valuation,
        at_new_service=None
        if site is None
        else lambda: recommend(model, record, replace(options, service="new")),
    )


def _draws_of(
    model: ModelData, values: Record, site: str | None, service: str, outcome: str
) -> FloatArray | None:
    """Return draws of an outcome, shape (n_draws, n_arms); None if the model has none."""
    scorer = model.scorers[outcome]
    return _drawn(model, outcome, scorer.score(values, site, service)) if scorer.has_posterior_draws else None


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


def _utility_draws(model: ModelData, scores: Mapping[str, Score], valuation: Valuation) -> FloatArray | None:
    """Return draws of the utility, shape (n_draws, 1, n_arms); None if a model has none."""
    if not all(score.scorer.has_posterior_draws for score in scores.values()):
        return None
    draws = {name: _drawn(model, name, scores[name]).T for name in valuation.weights}
    return valuation.of_draws(draws).T[:, None, :]


def _drawn(model: ModelData, outcome: str, score: Score) -> FloatArray:
    """Return draws of an outcome, shape (n_draws, n_arms); row i belongs to row i of the other outcomes."""
    rows = model.draw_rows[outcome]
    return score.draws if rows is None else np.asarray(score.draws[rows])
