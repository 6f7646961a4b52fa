"""Section: figures by how much worse the lost fared, and bounds over missing outcomes."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import number, percent, points
from treatsel._reporting.page import Figure, Section, Table
from treatsel.metrics.missing import FARTHEST, GAIN, shifted_curves
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, figure, shown, text

FORMS: dict[str, Shown] = {"rate": percent, "ratio": number, "difference": points, "gain": points}


def missing_outcomes(report: ReportData) -> Section:
    """Return delta-adjusted figures and, in detail, bounds under assumptions about missing outcomes."""
    table = report.tables["missing outcomes"].astype(object)
    for name in ("value", "lower", "upper"):
        table[name] = [FORMS[kind](x) for kind, x in zip(table["measure"], table[name], strict=True)]
    assumptions = _assumptions(report)
    table["scenario"] = table["scenario"].map(lambda name: assumptions.get(name, name))
    columns: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "arms": ("Arms", text),
        "scenario": ("Missing outcomes are assumed", text),
        "value": ("Estimate", str),
        "lower": ("Lower", str),
        "upper": ("Upper", str),
        "n": ("n", count),
        "n_missing": ("Missing", count),
    }
    return Section(
        heading="Missing outcomes: how much could they change the results?",
        paragraphs=[
            f"Rates are those of {report.good_label}. Missing outcomes may resemble the observed ones of the "
            "same arm, or be as unfavorable or as favorable to the estimate as possible. The data cannot "
            "distinguish between these assumptions."
        ],
        figures=_pictures(report),
        tables=[*_shifts(report), shown(table, columns, "In detail: bounds under extreme assumptions.")],
        note="Pattern-mixture model: Little 1993; Cro et al. 2020. Bounds: Horowitz & Manski 2000.",
    )


def _pictures(report: ReportData) -> list[Figure]:
    """Return the gain by the shift; nothing without weights for lost outcomes."""
    if "delta-adjusted" not in report.tables:
        return []
    table, tipping = report.tables["delta-adjusted"], report.tables["tipping shifts"]
    ax = shifted_curves(table, tipping, GAIN, report.level, plots.bare_axes)
    text = (
        "Gain over the best single arm, by how much worse patients with a lost outcome fared than others "
        "with the same arm, covariates and process columns. At 0, outcomes are missing at random."
    )
    return [figure(ax, "delta-adjusted", text)]


def _shifts(report: ReportData) -> list[Table]:
    """Return gain and observed / expected at some shifts, and the shifts at which the verdict changes."""
    if "delta-adjusted" not in report.tables:
        return []
    table = report.tables["delta-adjusted"]
    table = table[table["shift"] % 1 == 0]
    rows = table.to_dict(orient="records")
    forms: list[Shown] = [points if row["measure"] == GAIN else number for row in rows]
    frame = pd.DataFrame({"Measure": table["measure"], "Shifted": table["lost"]})
    frame["Worse by (logits)"] = [f"{row['shift']:g}" for row in rows]
    for key, name in (("value", "Estimate"), ("lower", "Lower"), ("upper", "Upper")):
        frame[name] = [form(row[key]) for form, row in zip(forms, rows, strict=True)]
    tipping = report.tables["tipping shifts"]
    ends = pd.DataFrame({"Shifted": tipping["lost"]})
    for key, name in (("tipping_estimate", "Sign of the gain changes at"), ("tipping_limit", LIMIT)):
        ends[name] = [_logits(value) for value in tipping[key]]
    words = ("Measure", "Shifted")
    caption = "Delta-adjusted: a shift of 1 logit makes a probability of 50 % one of 27 % in lost patients."
    return [
        Table(frame, caption, words=words),
        Table(ends, "Shifts that matter, in logits.", words=words[1:]),
    ]


LIMIT = "Its interval begins to include 0 at"


def _logits(value: float | None) -> str:
    return f"none up to {FARTHEST:g}" if value is None or value != value else number(value)


def _assumptions(report: ReportData) -> dict[str, str]:
    """Return the assumptions on missing outcomes in words; the scenarios are coded with 1 for good."""
    all_have, none_has = f"all with {report.outcome_label}", f"all without {report.outcome_label}"
    return {
        "observed": "like those observed in the same arm",
        "lowest": "as unfavorable as possible",
        "highest": "as favorable as possible",
        "missing are 0": none_has if report.event_is_good else all_have,
        "missing are 1": all_have if report.event_is_good else none_has,
    }
