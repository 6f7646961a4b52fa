"""Validation reports and model cards as HTML or Markdown pages."""

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import FEWEST_CASES
from treatsel._files import write_text
from treatsel._measures import MEASURES
from treatsel._reporting import page
from treatsel._reporting.format import DASH, number, percent, points, with_interval
from treatsel._reporting.page import Page, Section, Table
from treatsel.codebook import Codebook
from treatsel.errors import InputError
from treatsel.manifest import INTENDED_USE_KEYS, Manifest, date_of, is_expired, kind_of
from treatsel.updating import changes_of
from treatsel.validation import ValidationReport
from treatsel.validation.parts import ADJUSTED
from treatsel.validation.report import page_of

__all__ = ["model_card", "write_html", "write_markdown"]

BLANK = "not stated: author to complete"
DECIDED = 0.8  # probability from which on an arm is called the best one for all patients
ASSIGNMENT_WORDS = {
    "randomised": "causal effects: arms were randomized",
    "routine": "associations: arms were chosen in routine care",
    None: "associations: the assignment of arms is not stated",
}
VALIDATION_WORDS = {"external": "external validation", "cross-validated": "cross-validation"}
METRIC_WORDS = {
    "log_loss": "Log-loss",
    "brier_score": "Brier score",
    "within_arm_auc": "Within-arm AUC",
}


def write_html(
    result: ValidationReport | Manifest, path: str | Path, *, date: datetime.date | str | None = None
) -> None:
    """Write a validation report or a model card as one self-contained HTML page; `date` as in `model_card`.

    Raises
    ------
    InputError
        If the result is neither.
    """
    write_text(path, page.to_html(_page(result, date)))


def write_markdown(
    result: ValidationReport | Manifest, path: str | Path, *, date: datetime.date | str | None = None
) -> None:
    """Write a validation report or a model card as Markdown, without figures; `date` as in `model_card`.

    Raises
    ------
    InputError
        If the result is neither.
    """
    write_text(path, page.to_markdown(_page(result, date)))


def model_card(manifest: Manifest, *, date: datetime.date | str | None = None) -> str:
    """Return a model card as Markdown: intended use, development cohort, covariates and performance.

    If `date` is given and is after the review date, the card says so before anything else.

    References
    ----------
    Mitchell et al. (2019), FAT* '19, 220-229. doi:10.1145/3287560.3287596
    """
    return page.to_markdown(_page(manifest, date))


def _page(result: Any, date: datetime.date | str | None) -> Page:
    if isinstance(result, ValidationReport):
        return page_of(result)
    if isinstance(result, Manifest):
        return _card(result, None if date is None else date_of("date", date))
    raise InputError(f"A page needs a ValidationReport or a Manifest, not a {type(result).__name__}.")


def _card(manifest: Manifest, date: datetime.date | None) -> Page:
    content, use = manifest.content, manifest.intended_use
    label = _labels(content)
    lacking = [key.replace("_", " ") for key in INTENDED_USE_KEYS if key not in use]
    return Page(
        title=f"Model card: {', '.join(label(outcome['name']) for outcome in content['outcomes'])}",
        headline=use["purpose"],
        facts=[
            ("Model id", manifest.model_id[:12]),
            ("Format", str(content["format"])),
            ("Version of treatsel", content["library_version"]),
            ("Arms", ", ".join(content["arms"])),
            ("Best single arm", content["default_arm"]),
            ("Differences between arms", ASSIGNMENT_WORDS[content["assignment"]["stated"]]),
            *[("Updated from", _parent(update)) for update in manifest.updates[-1:]],
            *_therapist_facts(content),
            *_validation_facts(manifest),
            ("Review by", use.get("review_date", "not stated")),
        ],
        cautions=_cautions(use, lacking, date),
        sections=[
            _use(use),
            *_updates(manifest),
            _development(content),
            _covariates(content),
            _cross_fitted(content),
            _validated(manifest),
        ],
    )


def _labels(content: Any) -> Callable[[str], str]:
    """Return the function from the name of a column to its title in the codebook."""
    return Codebook.from_dict(content["codebook"]).label


def _cautions(use: Any, lacking: list[str], date: datetime.date | None) -> list[str]:
    found = []
    if is_expired(use, date):
        found.append(
            f"This model has expired: it was to be reviewed by {use['review_date']}, and the date of this "
            f"card is {date}. Predictions that are given this date carry the warning model_expired."
        )
    if lacking:
        found.append(f"Not stated, author to complete: {', '.join(lacking)}.")
    return found


def _use(use: Any) -> Section:
    rows = [(key.replace("_", " ").capitalize(), use.get(key, BLANK)) for key in INTENDED_USE_KEYS]
    frame = pd.DataFrame(rows, columns=["About", "Statement"])
    caption = "As stated by the author of the model."
    if "review_date" in use:
        caption += " Predictions that are given a later date than the review date are marked model_expired."
    table = Table(frame, caption, words=("Statement",))
    return Section(heading="Intended use", tables=[table])


def _development(content: Any) -> Section:
    label = _labels(content)
    shown = [
        {
            "Outcome": label(row["outcome"]),
            "Arm": row["arm"],
            "Patients": _count(row["n"]),
            "Outcome observed": _count(row["n_observed"]),
            "Events": _count(row["n_events"]),
        }
        for row in content["training"]
    ]
    means = content["arm_means"]
    best = means.get("p_best", [None] * len(content["arms"]))
    arms = [
        {
            "Arm": arm,
            "Expected rate": percent(means["value"][k]),
            "Lower": DASH if (low := means["lower"][k]) is None else percent(low),
            "Upper": DASH if (high := means["upper"][k]) is None else percent(high),
            "Best for all": DASH if (p := best[k]) is None else percent(p),
        }
        for k, arm in enumerate(content["arms"])
    ]
    main = content["outcomes"][0]
    title = label(main["name"])
    no = f"no {title}" if title == main["name"] else f'"{title}": no'
    good = title if main["event_is_good"] else no
    caption = (
        f"Expected rate of {good} if all patients received the arm (doubly robust, 95 % intervals), and "
        "posterior probability that the arm is the best one for all patients"
    )
    if max([p for p in best if p is not None], default=1.0) < DECIDED:
        caption += ": the averages of the arms do not decide which one is"
    return Section(
        heading="Development cohort",
        tables=[
            Table(pd.DataFrame(shown), "Patients and events by arm; small counts are suppressed.", ("Arm",)),
            Table(pd.DataFrame(arms), f"{caption}."),
            _overlap(content),
            *_published(content),
        ],
    )


def _published(content: Any) -> list[Table]:
    """Return a table of the published estimates of each outcome that has any."""
    label, tables = _labels(content), []
    for name, found in content.get("priors", {}).items():
        if not found["rows"]:
            continue
        shown = [
            {
                "Estimate": row["what"],
                "Published": f"{row['prior']:+.2f} ({row['prior_se']:.2f})",
                "Patients alone": f"{row['patients']:+.2f} ({row['patients_se']:.2f})",
                "Difference, SD": f"{row['difference_sd']:+.1f}",
                "Used with SE": f"{row['used_se']:.2f}",
            }
            for row in found["rows"]
        ]
        caption = (
            f"Published estimates for {label(name)} that the model takes into account, with standard errors. "
            f"Source: {found['source'] or 'not stated'}."
        )
        tables.append(Table(pd.DataFrame(shown), caption, words=("Estimate",)))
    return tables


def _overlap(content: Any) -> Table:
    overlap = content["assignment"]["overlap"]
    shown = [
        {
            "Arm": arm,
            "Effective sample size": number(overlap["effective_n"][k], 0),
            "Low propensity": DASH
            if (share := overlap["share_low_propensity"][k]) is None
            else percent(share),
        }
        for k, arm in enumerate(content["arms"])
    ]
    caption = (
        "Overlap: effective sample size after inverse-probability weighting, and proportion of patients "
        "whose estimated propensity for the arm is below 2 %."
    )
    return Table(pd.DataFrame(shown), caption)


def _covariates(content: Any) -> Section:
    rows = []
    for entry in content["codebook"]["fields"]:
        if entry.get("role") != "covariate":
            continue
        limits = entry.get("constraints", {})
        allowed = ", ".join(map(str, limits["enum"])) if "enum" in limits else _range(limits)
        rows.append(
            {
                "Covariate": entry["name"],
                "Kind": entry["type"],
                "Unit": entry.get("unit", DASH),
                "Allowed": allowed,
                "Meaning": _meaning(entry),
            }
        )
    words = ("Kind", "Unit", "Allowed", "Meaning")
    tables = [Table(pd.DataFrame(rows), "Covariates that the model needs.", words)]
    items = [entry for entry in content["codebook"]["fields"] if entry.get("role") == "safety_item"]
    if items:
        shown = [
            {"Safety item": e["name"], "Flagged": e.get("flag", DASH), "Meaning": _meaning(e)} for e in items
        ]
        caption = "Safety items, which are shown before every result. The model does not see them."
        tables.append(Table(pd.DataFrame(shown), caption, ("Flagged", "Meaning")))
    return Section(heading="Covariates", tables=tables)


def _meaning(entry: Mapping[str, Any]) -> str:
    return ": ".join(entry[key] for key in ("title", "description") if entry.get(key)) or DASH


def _range(limits: Any) -> str:
    if "minimum" not in limits and "maximum" not in limits:
        return DASH
    return f"{limits.get('minimum', 'any')} to {limits.get('maximum', 'any')}"


def _cross_fitted(content: Any) -> Section:
    words = {"model": "This model", "baseline": "Penalized logistic regression"}
    label = _labels(content)
    shown = [
        {
            "Outcome": label(outcome["name"]),
            "Measure": METRIC_WORDS[row["metric"]],
            "Predictor": words[row["predictor"]],
            "Estimate": number(row["value"], 3),
            "Lower": number(row["lower"], 3),
            "Upper": number(row["upper"], 3),
            "Patients": _count(row["n"]),
        }
        for outcome in content["outcomes"]
        for metric in METRIC_WORDS
        for row in content["performance"][outcome["name"]]
        if row["metric"] == metric
    ]
    caption = "Each patient is predicted by models fitted without that patient; 95 % intervals."
    return Section(
        heading="Internal validation: cross-fitted performance in the development cohort",
        paragraphs=[
            *(["These are figures of the model before its update."] if content.get("updates") else []),
            "The baseline is a penalized logistic regression with arm-by-covariate interactions; a model "
            "that does not beat this baseline adds nothing. This is not an external validation.",
        ],
        tables=[Table(pd.DataFrame(shown), caption, ("Measure", "Predictor"))],
    )


def _parent(update: Mapping[str, Any]) -> str:
    """Return from which model, and when, an update was made."""
    parent = "a model that was not saved" if update["parent_id"] is None else update["parent_id"][:12]
    return parent if update["date"] is None else f"{parent} on {update['date']}"


def _updates(manifest: Manifest) -> list[Section]:
    """Return what each update changed, the last one first."""
    content, sections = manifest.content, []
    for update in manifest.updates[::-1]:
        sentences, rows = [], []
        for outcome in update["outcomes"]:
            sentences += changes_of(outcome, content["arms"], content["default_arm"])
            rows += [_calibration_row(outcome["name"], row) for row in outcome["calibration"]]
        caption = (
            'Calibration in the patients of the update, 95 % intervals. "after" is apparent; '
            '"cross-validated": each patient is predicted by a recalibration to others.'
        )
        table = Table(pd.DataFrame(rows), caption, ("Outcome", "Predictions", "Measure"))
        heading = f"Updated from {_parent(update)}"
        sections.append(Section(heading=heading, paragraphs=sentences, tables=[table]))
    return sections


def _calibration_row(outcome: str, row: Mapping[str, Any]) -> dict[str, str]:
    shown = {"Outcome": outcome, "Predictions": row["predictions"], "Measure": row["measure"]}
    return shown | {key.capitalize(): number(row[key]) for key in ("value", "lower", "upper")}


def _therapist_facts(content: Any) -> list[tuple[str, str]]:
    """Return of how many therapists effects are in the file, if of any."""
    kept = [one["therapists"] for one in content["outcomes"] if one.get("therapists") is not None]
    if not kept:
        return []
    labels = {row["label"] for each in kept for row in each["rows"]}
    n = count_of(len(labels), "therapist")
    return [("Effects of therapists", f"{n} with {FEWEST_CASES} patients or more, under keyed labels")]


def _validation_facts(manifest: Manifest) -> list[tuple[str, str]]:
    """Return gain and calibration slope of each stored validation, or that there is none."""
    found = []
    good = {one["name"]: one["event_is_good"] for one in manifest.content["outcomes"]}
    for key, shown in (("gain", points), ("calibration_slope", number)):
        label = MEASURES[key].label
        texts = []
        for one in manifest.validations:
            row = one["figures"].get(label, {"value": None})
            value = "not estimable" if row["value"] is None else with_interval(row, shown)
            adjusted = one["figures"].get(ADJUSTED, {"lower": None}) if key == "gain" else {"lower": None}
            if adjusted["lower"] is not None:  # over the truly best arm, without an unbiased estimate
                value = f"{points(adjusted['lower'])} to {points(adjusted['upper'])}"
            about = f"{one['level']:.0%} interval, {VALIDATION_WORDS[kind_of(one)]}, n = {one['n']:,}"
            # a gain is one of the good outcome: "event -0.6 points" would read as fewer events
            no = "no " if key == "gain" and good.get(one["outcome"]) is False else ""
            texts.append(f"{no}{one['outcome']} {value}, {about}")
        found.append((label.capitalize(), "; ".join(texts) or "not validated"))
    return found


def _validated(manifest: Manifest) -> Section:
    if not manifest.validations:
        return Section(heading="Validation", paragraphs=["No validation is stored with this model."])
    tables, headlines = [], []
    for one in manifest.validations:
        shown = [
            {
                "Measure": measure,
                "Estimate": number(row["value"], 3),
                "Lower": number(row["lower"], 3),
                "Upper": number(row["upper"], 3),
            }
            for measure, row in one["figures"].items()
        ]
        count = f"{one['n']:,} patient{'' if one['n'] == 1 else 's'}"
        kind = VALIDATION_WORDS[kind_of(one)].capitalize()
        tables.append(
            Table(pd.DataFrame(shown), f"{kind} of {one['outcome']}: {count}, {one['level']:.0%} intervals.")
        )
        headlines.append(f"{one['outcome']}: {one['headline']}")
        if stated := one.get("estimand"):
            words = "; ".join(f"{name}: {text}" for name, text in stated.items())
            headlines.append(f"Estimand of {one['outcome']}. {words}.")
    if any(MEASURES["mape"].label in one["figures"] for one in manifest.validations):
        headlines.append(
            "Figures of refits compare this model with models that the same procedure fitted to bootstrap "
            "resamples of the development cohort; limits are the 2.5th and 97.5th percentile over refits."
        )
    return Section(heading="Validation", paragraphs=headlines, tables=tables)


def _count(value: int | None) -> str:
    return "suppressed" if value is None else f"{value:,}"
