"""The page as texts, lists and pictures, ready for the template."""

from typing import Any

from treatsel._reporting.format import DASH
from treatsel._reporting.page import Figure
from treatsel.page._choice_view import ChoiceView, choice_view, leading_arms, p_better_of, weights_text
from treatsel.page._contents import Choice, PageOutcome, PatientPage
from treatsel.page._icons import icon_array
from treatsel.page._numbers import of_100, percent
from treatsel.page._question_view import question_view
from treatsel.page._strings import fill
from treatsel.page._wording import Wording

CONTRASTS = (
    "arm",
    "score",
    "difference",
    "p_better",
    "p_relevantly_better",
    "regret",
    "p_regret",
    "p_best",
)


def context_of(page: PatientPage, words: Wording) -> dict[str, Any]:
    """Return what the template shows."""
    in_scope = page.yours.status != "out_of_scope"
    strings = words.strings
    return {
        "strings": strings,
        "page": page,
        "in_scope": in_scope,
        "yours": choice_view(page.yours, words),
        "others": _other_choices(page, words) if in_scope and len(page.eligible) > 1 else [],
        "cards": [_card(k, words) for k in page.eligible] if in_scope else [],
        "has_range": any((each.lower == each.lower).any() for each in page.outcomes),
        "sliders": _sliders(page, words) if is_adjustable(page) else [],
        "weights_used": fill(strings["weights"]["used"], weights=weights_text(page.yours, words)),
        "main": words.wanted(page.weighable[0]) if page.weighable else "",
        "meaning": _meaning(page, strings),
        "excluded": [
            fill(strings["excluded"]["text"], arm=words.arm(k), reason=reason)
            for k, reason in page.excluded.items()
        ],
        "unknown": _unknown(page, words, in_scope),
        "questions": question_view(page.questions, words) if page.questions and in_scope else None,
        "follow_up": page.follow_up or strings["follow_up"]["text"],
        "clinician": _clinician(page, words, in_scope),
    }


def is_adjustable(page: PatientPage) -> bool:
    """Whether sliders can change anything: several arms, and several criteria that can have a weight."""
    return page.yours.status != "out_of_scope" and len(page.eligible) > 1 and len(page.weighed) > 1


def _other_choices(page: PatientPage, words: Wording) -> list[tuple[str, ChoiceView]]:
    """Return the decisions at equal weights and by the first outcome alone, with their headings."""
    if len(page.weighed) < 2:
        return []
    said = words.strings["fit"]
    first = fill(said["first"], phrase=words.wanted(page.weighable[0]))
    return [
        (said["equal"], choice_view(page.equal, words)),
        (first, choice_view(page.first, words)),
    ]


def _card(k: int, words: Wording) -> dict[str, Any]:
    """Return what is known of one arm: pictures with numbers, and what speaks for and against it."""
    page = words.page
    speaks_for, against = words.reasons(k)
    return {
        "title": words.arm(k),
        "description": words.description(k),
        "note": words.note(k),
        "is_comparator": k == page.rules.comparator and len(page.eligible) > 1,
        "chances": [_chance(each, k, words) for each in page.outcomes],
        "for": speaks_for,
        "against": against,
    }


def _chance(outcome: PageOutcome, k: int, words: Wording) -> dict[str, Any]:
    """Return the picture of one outcome under one arm, with both framings and the interval."""
    said = words.strings["chances"]
    n = of_100(float(outcome.probability[k]))
    phrases = {"event": words.event(outcome), "no_event": words.no_event(outcome)}
    picture = fill(said["picture"], n=n, m=100 - n, **phrases)
    lower, upper, shown = n, n, said["no_range"]
    if outcome.lower[k] == outcome.lower[k]:
        lower, upper = min(of_100(float(outcome.lower[k])), n), max(of_100(float(outcome.upper[k])), n)
        shown = fill(said["range"], lower=lower, upper=upper)
        if upper > lower:
            picture = f"{picture} {fill(said['picture_range'], first=lower + 1, last=upper)}"
    return {
        "figure": Figure(icon_array(n, lower, upper), picture),
        "kind": {True: "good", False: "bad", None: "neutral"}[outcome.good],
        "count": fill(said["count"], n=n, m=100 - n, **phrases),
        "range": shown,
        "source": fill(said["source"], source=outcome.source) if outcome.source else "",
    }


def _sliders(page: PatientPage, words: Wording) -> list[dict[str, Any]]:
    """Return a slider for each criterion, with the range that it has among the patient's options."""
    said, found = words.strings["weights"], []
    for each in page.weighed:
        share, phrase = of_100(page.yours.weights.get(each.name, 0.0)), words.phrase(each)
        if isinstance(each, PageOutcome):
            of_eligible = [of_100(float(p)) for p in words.wanted_probability(each)[page.eligible]]
            label, shown = said["label"], said["range"]
            ends: dict[str, Any] = {"lowest": min(of_eligible), "highest": max(of_eligible)}
        else:
            label, shown = said["label_other"], said["range_other"]
            values = each.values[page.eligible]
            ends = {"lowest": f"{values.min():g}", "highest": f"{values.max():g}", "unit": each.unit}
        found.append(
            {
                "label": fill(label, phrase=phrase),
                "range": fill(shown, phrase=phrase, **ends),
                "value": share,
                "shown": fill(said["value"], percent=share),
            }
        )
    return found


def _meaning(page: PatientPage, strings: Any) -> list[str]:
    """Return of whom and of when the numbers are, from the intended use."""
    parts = {"people": "population", "meaning": "outcome", "time": "horizon"}
    said = strings["chances"]
    return [fill(said[name], text=page.use[key]) for name, key in parts.items() if page.use.get(key)]


def _unknown(page: PatientPage, words: Wording, in_scope: bool) -> list[str]:
    """Return what is not known, apart from the width of intervals."""
    said = words.strings["unknown"]
    found = [said["future"], said["model"], said["same_time"]] if in_scope else []
    rare = {about for code, about in page.warnings if code == "low_propensity"}
    found += [
        fill(said["few"], arm=words.arm(k))
        for k in page.eligible
        if page.arms[k] in rare or not all(each.enough[k] for each in page.weighed_outcomes)
    ]
    missing = [str(about) for code, about in page.warnings if code == "missing_covariate"]
    if missing:
        found.append(fill(said["missing"], columns=words.strings["list_comma"].join(missing)))
    found += [fill(said["direction"], title=each.title) for each in page.outcomes if each.good is None]
    return [*found, said["trial"]]


def _clinician(page: PatientPage, words: Wording, in_scope: bool) -> dict[str, Any]:
    """Return the detail for the clinician."""
    said, level = words.strings["clinician"], f"{100 * page.rules.level:g}"
    return {
        "reasons": _coded(page.yours.reasons, "reasons", words),
        "rule": page.rules.rule,
        "margin": fill(said["points"], n=f"{100 * page.rules.margin:g}"),
        "comparator": said["none"] if page.rules.comparator is None else words.arm(page.rules.comparator),
        "service": _service(page, words, in_scope),
        "columns": [fill(said[name], level=level) for name in CONTRASTS],
        "outcomes_caption": fill(said["outcomes"], level=level),
        "outcome_rows": _outcome_rows(words) if in_scope else [],
        "applicability": _coded(page.warnings, "warnings", words) or [said["applies"]],
        "facts": _facts(page, words),
        "use": [(name, page.use[key]) for key, name in words.strings["uses"].items() if page.use.get(key)],
        "checklist": _checklist(page, words),
    }


def _service(page: PatientPage, words: Wording, in_scope: bool) -> dict[str, Any]:
    """Return for which service the decision is; for a known one, the same decision at a new one beside it."""
    said, names = words.strings["clinician"], words.strings["services"]
    used = page.facts.get("service")
    if page.new_service is None:
        return {"text": said["at_service"].get(used, "") if in_scope else "", "columns": [], "rows": []}
    return {
        "text": "",
        "columns": [said[name] for name in ("service", "status", "highest", "p_better")],
        "rows": [
            [names["known"], *_in_short(page.yours, words)],
            [names["new"], *_in_short(page.new_service, words)],
        ],
    }


def _in_short(choice: Choice, words: Wording) -> list[str]:
    """Return status, leading arms and P(better) of a decision."""
    leading = leading_arms(choice, words)
    return [choice.status, words.arms(leading), percent(p_better_of(choice, leading))]


def _coded(pairs: Any, part: str, words: Wording) -> list[str]:
    """Return coded reasons or warnings in words, each with what it is about."""
    labels = {label: words.arm(k) for k, label in enumerate(words.page.arms)}
    known = {**words.strings["warnings"], **words.strings[part]}
    found = []
    for code, about in pairs:
        text = known.get(code, code.replace("_", " "))
        if about is None:
            found.append(f"{text}{words.strings['period']}")
        else:
            named = labels.get(str(about), str(about))
            found.append(fill(words.strings["clinician"]["about"], title=named, text=text))
    return found


def _outcome_rows(words: Wording) -> list[list[str]]:
    said, page = words.strings["clinician"]["interval"], words.page
    rows = []
    for k in page.eligible:
        row = [words.arm(k)]
        for each in page.outcomes:
            p, lower, upper = (
                percent(float(table[k])) for table in (each.probability, each.lower, each.upper)
            )
            row.append(p if lower == DASH else fill(said, value=p, lower=lower, upper=upper))
        rows.append(row)
    return rows


def _facts(page: PatientPage, words: Wording) -> list[tuple[str, str]]:
    """Return what the audit record says of model, input and date."""
    said = words.strings["clinician"]
    missing = {"model": said["not_saved"]}
    services = words.strings["services"]
    return [
        (said[name], services.get(value, value) or missing.get(name, said["not_stated"]))
        for name, value in page.facts.items()
    ]


def _checklist(page: PatientPage, words: Wording) -> list[tuple[str, str]]:
    """Return which criteria of a decision aid the page meets; each follows from a field."""
    said, use = words.strings["clinician"], page.use
    in_scope = page.yours.status != "out_of_scope"
    reasons = [words.reasons(k) for k in page.eligible]
    met = {
        "condition": bool(use.get("population")),
        "decision": len(page.eligible) > 1,
        "options": bool(page.eligible) and all(words.description(k) for k in page.eligible),
        "positive": in_scope and bool(reasons) and all(speaks_for for speaks_for, _ in reasons),
        "negative": in_scope and bool(reasons) and all(against for _, against in reasons),
        "probabilities": in_scope and bool(use.get("population")),
        "time": in_scope and bool(use.get("horizon")),
        "values": is_adjustable(page),
        "sources": bool(page.facts.get("model")),
        "date": bool(page.facts.get("date")),
    }
    return [(text, said["met" if met[name] else "not_met"]) for name, text in said["criteria"].items()]
