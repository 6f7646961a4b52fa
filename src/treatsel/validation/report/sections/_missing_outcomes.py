"""Section: bounds over missing outcomes."""

from treatsel._reporting.format import number, percent, points
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text

FORMS: dict[str, Shown] = {"rate": percent, "ratio": number, "difference": points, "gain": points}


def missing_outcomes(report: ReportData) -> Section:
    """Return bounds under assumptions about missing outcomes."""
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
        tables=[shown(table, columns, "Bounds under extreme assumptions.")],
        note="Horowitz & Manski 2000.",
    )


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
