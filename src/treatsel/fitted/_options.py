"""Options of a recommendation, as they are used and as the audit record keeps them."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from treatsel.fitted._data import ModelData
from treatsel.predictions import plain
from treatsel.preference import check_preferences
from treatsel.recommendation import DecisionRule, Recommendations, plain_reasons


@dataclass(frozen=True, kw_only=True)
class DecisionOptions:
    """What decides beside the model and the patient.

    Attributes
    ----------
    weights : mapping of str to float
        Weight of each outcome that counts; they sum to 1.
    preferences : mapping of str to float
        The weights as they were given: the audit record keeps these, so that the same utilities, to the last
        bit, can be computed again.
    excluded, on_invalid
        As in `FittedModel.recommend`.
    by : DecisionRule
        Rule, comparator, margin, level and p_switch.
    date : date or None
        Date of the recommendation, if the caller gave one.
    service : {"known", "average", "new"}
        As in `FittedModel.predict`.
    """

    weights: Mapping[str, float]
    preferences: Mapping[str, float]
    excluded: Mapping[Any, str] | None
    by: DecisionRule
    on_invalid: str
    date: datetime.date | None
    service: str


def at_weights(
    options: DecisionOptions, preferences: Mapping[str, float], model: ModelData
) -> DecisionOptions:
    """Return the same options with other weights."""
    weights = check_preferences(preferences, model.outcomes, model.event_is_good)
    given = {name: float(preferences[name]) for name in model.outcomes if name in preferences}
    return replace(options, weights=weights, preferences=given)


def recorded(found: Recommendations, allowed_sha256: str | None) -> dict[str, Any]:
    """Return what the audit record keeps of recommendations: what decided, and the decisions.

    The decisions are in the order of the patients, without their ids.
    """
    columns = found.columns
    rows = zip(columns["arm"], columns["status"], columns["status_reasons"], strict=True)
    return {
        "level": found.level,
        "preferences": dict(found.preferences or {}),
        "rule": found.rule,
        "margin": found.margin,
        "p_switch": found.p_switch,
        "comparator": plain(found.comparator),
        "default_arm": plain(found.default_arm),
        "excluded": {str(arm): str(reason) for arm, reason in found.excluded.items()},
        "allowed_sha256": allowed_sha256,
        "decisions": [
            {"arm": plain(arm), "status": status, "status_reasons": plain_reasons(reasons)}
            for arm, status, reasons in rows
        ],
    }
