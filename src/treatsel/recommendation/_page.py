"""The page to talk over: what it shows of a recommendation for one patient."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treatsel._checks import ROUNDING
from treatsel.codebook import SAFETY_CODES
from treatsel.errors import InputError
from treatsel.page import Choice, PageCriterion, PageOutcome, PatientPage, Rules, render, strings_of
from treatsel.predictions import WARNING_CODES
from treatsel.recommendation._decision import CLEAR, LEANING, RULED_OUT
from treatsel.recommendation._outcomes import PatientOutcomes
from treatsel.recommendation._page_choice import choice_of, excluded_of, position_of
from treatsel.recommendation._page_questions import questions_of

N_SHOWN = 1000  # draws of published rates, as many as models have


def page_of(found: Any, **added: Any) -> PatientPage:
    """Return what the page shows of a recommendation.

    Parameters
    ----------
    found : Recommendations, which this module does not import: it imports this one
        For one patient, by a model.
    **added
        Fields of `PatientPage` that do not come from the recommendation.

    Raises
    ------
    InputError
        If there are several patients, or no outcomes.
    """
    outcomes = _outcomes_of(found)
    shown = [_outcome(found, outcomes, name) for name in outcomes.event_is_good]
    others = [] if outcomes.valuation is None else outcomes.valuation.others()
    shown += [_published(other, found, outcomes) for other in others if other.rates is not None]
    criteria = [_criterion(other) for other in others if other.rates is None]
    weighable = [each.name for each in shown if each.good is not None and each.is_weighed]
    weighable += [each.name for each in criteria]
    audit, service = found.audit or {}, outcomes.predictions.service
    return PatientPage(
        arms=[str(arm) for arm in found.arms],
        excluded=excluded_of(found),
        warned={found.arms.index(arm): str(why) for arm, why in found.columns["warned"][0].items()},
        outcomes=shown,
        criteria=criteria,
        yours=choice_of(found),
        equal=choice_of(outcomes.decide(dict.fromkeys(weighable, 1.0))),
        first=choice_of(outcomes.decide({weighable[0]: 1.0})),
        rules=_rules(found),
        warnings=_warnings(outcomes),
        new_service=_at_new_service(found),
        facts={
            "model": audit.get("model_id"),
            "library": audit.get("library_version"),
            "input": audit.get("input_sha256"),
            "date": audit.get("date"),
            "service": None if service is None else service[0],
            "assignment": audit.get("assignment"),
        },
        use={name: str(text) for name, text in (audit.get("intended_use") or {}).items()},
        **added,
    )


def page_text(
    found: Any,
    strings: Any,
    *,
    safety_items: Any,
    next_question: Any,
    explanation: Any,
    follow_up: str | None,
    patient: str | None,
) -> str:
    """Return the page as HTML; see `Recommendations.to_html`."""
    titles, words = _outcomes_of(found).titles, strings_of(strings)
    flagged = _safety_items(found, titles, words)
    page = page_of(
        found,
        safety_items=(*flagged, *_texts("safety_items", safety_items)),
        **questions_of(next_question, found, titles, words),
        explanation=_texts("explanation", explanation),
        follow_up=" ".join(_texts("follow_up", follow_up)) or None,
        patient=" ".join(_texts("patient", patient)) or None,
    )
    return render(page, words)


def _safety_items(found: Any, titles: Mapping[str, str], words: Mapping[str, Any]) -> list[str]:
    """Return what there is to say of the safety items of the codebook."""
    flags = found.flags or {"code": (), "column": ()}
    return [
        str(words["safety"][code]).replace("{title}", str(titles.get(column, column)))
        for code, column in zip(flags["code"], flags["column"], strict=True)
        if code in SAFETY_CODES
    ]


def _texts(name: str, given: Any) -> tuple[str, ...]:
    """Return one or several texts as a tuple; None: none.

    Raises
    ------
    InputError
        If one is not a text.
    """
    texts: Sequence[Any] = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{name} must be a text or a list of texts.")
    return tuple(text for text in texts if text.strip())


def _outcomes_of(found: Any) -> PatientOutcomes:
    if (n := len(found.patients)) != 1:
        raise InputError(
            f"The page is about one patient; these recommendations are for {n:,}. Recommend for one patient "
            "at a time: selector.recommend(record), or a table of one row."
        )
    if found.outcomes is None:
        raise InputError(
            "This recommendation has no outcomes to show: it was made from a by-arm table, or is a copy. "
            "Make it with a model, selector.recommend(record), and write its page from that result."
        )
    outcomes: PatientOutcomes = found.outcomes
    return outcomes


def _outcome(found: Any, outcomes: PatientOutcomes, name: str) -> PageOutcome:
    predicted, evidence = outcomes.predictions, outcomes.evidence((name,))
    # a patient out of scope may have values that draws refuse; the page shows no numbers then
    in_scope = found.columns["status"][0] != "out_of_scope"
    criterion, is_weighed = None, True
    if outcomes.valuation is not None and outcomes.valuation.preferences is not None:
        criterion = outcomes.valuation.criteria.get(name)
        is_weighed = criterion is not None
    good = outcomes.event_is_good[name] if criterion is None else criterion.best > criterion.worst
    return PageOutcome(
        name=name,
        title=outcomes.titles.get(name, name),
        good=good,
        probability=predicted.probability[name][0],
        lower=predicted.lower[name][0],
        upper=predicted.upper[name][0],
        draws=outcomes.draw(name) if in_scope else None,
        enough=[bool(evidence.get(arm, True)) for arm in found.arms],
        is_weighed=is_weighed,
        worst=float(outcomes.event_is_good[name] is False) if criterion is None else criterion.worst,
        best=float(outcomes.event_is_good[name] is not False) if criterion is None else criterion.best,
    )


def _at_new_service(found: Any) -> Choice | None:
    """Return the decision for a new service, if the patient's own is known and arms are compared."""
    if found.columns["status"][0] == "out_of_scope":
        return None
    elsewhere = found.at_new_service()
    return None if elsewhere is None else choice_of(elsewhere)


def _published(other: Any, found: Any, outcomes: PatientOutcomes) -> PageOutcome:
    """Return published rates of a side effect as an outcome, with as many draws as the outcomes have."""
    in_scope = found.columns["status"][0] != "out_of_scope"
    own = outcomes.draw(next(iter(outcomes.event_is_good))) if in_scope else None
    draws = other.rates.draws(N_SHOWN if own is None else len(own))
    ends = np.quantile(draws, [(1 - found.level) / 2, (1 + found.level) / 2], axis=1)
    return PageOutcome(
        name=other.criterion.name,
        title=other.criterion.label or other.criterion.name,
        good=other.criterion.best > other.criterion.worst,
        probability=other.rates.probability,
        lower=ends[0],
        upper=ends[1],
        draws=draws.T,
        enough=[True] * len(found.arms),
        worst=other.criterion.worst,
        best=other.criterion.best,
        source=other.rates.source,
    )


def _criterion(other: Any) -> PageCriterion:
    """Return a criterion that is known for each arm."""
    one = other.criterion
    return PageCriterion(
        name=one.name,
        title=one.label or one.name,
        unit=one.unit,
        worst=one.worst,
        best=one.best,
        values=other.values,
    )


def _rules(found: Any) -> Rules:
    position = {arm: k for k, arm in enumerate(found.arms)}
    return Rules(
        rule=found.rule,
        margin=found.margin,
        level=found.level,
        p_switch=found.p_switch,
        default=position.get(found.default_arm),
        comparator=position_of(found, "comparator"),
        clear=CLEAR,
        leaning=LEANING,
        ruled_out=RULED_OUT,
        rounding=ROUNDING,
        is_capped=found.outcomes.valuation is None or found.outcomes.valuation.preferences is None,
    )


def _warnings(outcomes: PatientOutcomes) -> list[tuple[str, str | None]]:
    """Return the warnings of the prediction, with titles of columns instead of their names."""
    flags, titles = outcomes.predictions.flags, outcomes.titles
    pairs = zip(flags["code"], flags["column"], strict=True)
    return [
        (str(code), None if about is None else str(titles.get(about, about)))
        for code, about in pairs
        if code in WARNING_CODES and code not in SAFETY_CODES
    ]
