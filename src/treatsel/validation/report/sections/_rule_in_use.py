"""Section: the rule in use, on which outcomes it is valued, and which patients it moves."""

from typing import Any

import pandas as pd

from treatsel._reporting.format import percent
from treatsel._reporting.page import Section, Table
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import count, figures_table, shown, text

HIDDEN = "not shown"


def rule_in_use(report: ReportData) -> Section:
    """Return the rule in words, who is moved, the overlap, and the value on other outcomes."""
    overlap = report.tables["overlap"]
    columns: dict[str, Any] = {
        "arm": ("Recommended arm", text),
        "n_recommended": ("Recommended to", _count),
        "n_concordant": ("Received by", _count),
        "share_concordant": ("Share", _percent),
        "effective_n": ("Effective n", _count),
    }
    tables = [
        Table(
            _crossed(report.tables["moved"]),
            "Who is moved: number of patients by received arm (rows) and recommended arm (columns). Small "
            "counts, and those by which they would follow from a total, are not shown.",
        ),
        shown(
            overlap,
            columns,
            "Overlap with what was given: how many patients received the arm that is recommended to them. "
            "The effective sample size is that of their weights; the value of the rule rests on it.",
        ),
    ]
    if (report.figures["section"] == "rule in use").any():
        caption = (
            "The rule in use: share of patients moved, and its value on every outcome (in terms of the good "
            "outcome), compared with the best single arm for all patients and with the received arms."
        )
        tables.append(figures_table(report, ["rule in use"], caption))
    return Section(
        heading="The rule in use: what is recommended, and who is moved?",
        paragraphs=[_in_words(report), *_of_everyone(report)],
        tables=tables,
    )


def _in_words(report: ReportData) -> str:
    policy = report.about.get("policy") or {}
    rule = policy.get("rule")
    if rule == "given recommendations":
        said = "The recommendations were given as a table; no rule was computed."
    else:
        said = {
            "switch": "The best single arm, unless another arm is better than it with a probability above "
            f"{policy.get('p_switch')}.",
            "default": "The best single arm for all patients.",
        }.get(str(rule), "For each patient, the arm with the highest expected utility.")
    weights = policy.get("preferences")
    if weights:
        named = ", ".join(f"{report.label(name)} {weight:g}" for name, weight in weights.items())
        said += f" The utility weighs the outcomes: {named}."
    if policy.get("eligibility"):
        said += f" Rules of eligibility (digest {policy['eligibility'][:12]}) exclude arms."
    return said


def _of_everyone(report: ReportData) -> list[str]:
    policy = report.about.get("policy") or {}
    if not policy.get("eligibility"):
        return []
    return [
        "A single arm for all patients is possible only where all may receive it. Gains over single arms and "
        "the figures of all other sections are therefore those of the patients who may receive every arm. "
        "The rows with exclusions applied are those of all patients, each with the arms that the rules "
        "permit; they compare the rule with the arms received, not with a single arm. Both tables below "
        "count all patients, rounded to tens."
    ]


def _crossed(moved: pd.DataFrame) -> pd.DataFrame:
    """Return one row per received arm, one column per recommended arm."""
    labels = list(dict.fromkeys(moved["recommended"]))
    rows = [
        {"Received": arm} | dict(zip(part["recommended"], map(_count, part["n"]), strict=True))
        for arm, part in moved.groupby("received", sort=False)
    ]
    return pd.DataFrame(rows, columns=["Received", *labels])


def _count(value: Any) -> str:
    return HIDDEN if value is None or value != value else count(round(float(value)))


def _percent(value: Any) -> str:
    return HIDDEN if value is None or value != value else percent(value)
