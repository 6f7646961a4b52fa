"""Options of a recommendation, as they are used and as the audit record keeps them."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from treatsel.manifest import date_of
from treatsel.predictions import plain
from treatsel.preference import Valuation
from treatsel.recommendation import DecisionRule, Recommendations, plain_reasons

if TYPE_CHECKING:
    from treatsel.eligibility import Rules


@dataclass(frozen=True, kw_only=True)
class DecisionOptions:
    """What decides beside the model and the patient.

    Attributes
    ----------
    valuation : Valuation
        Criteria with their weights. The audit record keeps the weights of outcomes as they were given, so
        that the same utilities, to the last bit, can be computed again.
    eligibility : Rules or None
        Rules that exclude arms, checked against the codebook of the model.
    excluded, on_invalid
        As in `FittedModel.recommend`.
    by : DecisionRule
        Rule, comparator, margin, level and p_switch.
    date : date or None
        Date of the recommendation, if the caller gave one.
    service : {"known", "average", "new"}
        As in `FittedModel.predict`.
    """

    valuation: Valuation
    eligibility: "Rules | None"
    excluded: Mapping[Any, str] | None
    by: DecisionRule
    on_invalid: str
    date: datetime.date | None
    service: str


def at_weights(options: DecisionOptions, weights: Mapping[str, float]) -> DecisionOptions:
    """Return the same options with other weights."""
    return replace(options, valuation=options.valuation.at(weights))


def recorded(
    found: Recommendations,
    columns: Mapping[str, Any],
    options: DecisionOptions,
    allowed_sha256: str | None,
) -> dict[str, Any]:
    """Return what the audit record keeps of recommendations: what decided, and the decisions.

    The decisions, as `columns` hold them, are in the order of the patients, without their ids.
    """
    rows = zip(columns["arm"], columns["status"], columns["status_reasons"], strict=True)
    return {
        "level": found.level,
        "preferences": dict(options.valuation.given or {}),
        "rule": found.rule,
        "margin": found.margin,
        "p_switch": found.p_switch,
        "comparator": plain(found.comparator),
        "default_arm": plain(found.default_arm),
        "excluded": {str(arm): str(reason) for arm, reason in found.excluded.items()},
        "allowed_sha256": allowed_sha256,
        "valuation_sha256": options.valuation.sha256,
        "eligibility_sha256": None if options.eligibility is None else options.eligibility.sha256,
        "decisions": [
            {"arm": plain(arm), "status": status, "status_reasons": plain_reasons(reasons)}
            for arm, status, reasons in rows
        ],
    }


def date_or_none(date: Any) -> datetime.date | None:
    """Return a date that was given as a date or as a text; None: none was given."""
    return None if date is None else date_of("date", date)
