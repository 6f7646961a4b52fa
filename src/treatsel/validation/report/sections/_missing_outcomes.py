"""Section: bounds over missing outcomes."""

from treatsel._reporting.format import number, percent, points
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text

FORMS: dict[str, Shown] = {"rate": percent, "ratio": number, "difference": points, "gain": points}
SCENARIOS = {
    "observed": "are like the observed of their arm",
    "lowest": "are as bad as can be for the figure",
    "highest": "are as good as can be for the figure",
    "missing are 0": "all had no such outcome",
    "missing are 1": "all had the outcome",
}


def missing_outcomes(report: ReportData) -> Section:
    """Bounds for missing outcomes."""
    table = report.tables["missing outcomes"].astype(object)
    for name in ("value", "lower", "upper"):
        table[name] = [FORMS[kind](x) for kind, x in zip(table["measure"], table[name], strict=True)]
    table["scenario"] = table["scenario"].map(lambda name: SCENARIOS.get(name, name))
    columns: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "arms": ("Arms", text),
        "scenario": ("If the missing ...", text),
        "value": ("Estimate", str),
        "lower": ("Lower", str),
        "upper": ("Upper", str),
        "n": ("n", count),
        "n_missing": ("Missing", count),
    }
    return Section(
        heading="What if the missing outcomes were otherwise?",
        paragraphs=[
            f"Rates are those of {report.good_name}. The missing may have fared like the observed of their "
            "arm, or as badly, or as well, as can be for the figure. Nothing inside the data can say which "
            "is true."
        ],
        tables=[shown(table, columns, "Bounds under extreme assumptions.")],
        note="Horowitz & Manski 2000.",
    )
