"""Section: subgroups (fairness)."""

from treatsel._reporting.format import number, p_value
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text, three


def subgroups(report: ReportData) -> Section:
    """Return performance by subgroup, and tests of heterogeneity."""
    table = report.tables["subgroups"]
    table = table[table["variable"] != "overall"]
    columns: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", text),
        "group": ("Group", text),
        "measure": ("Measure", text),
        "value": ("Estimate", three),
        "lower": ("Lower", three),
        "upper": ("Upper", three),
        "n": ("n", count),
        "n_events": ("Events", count),
        "method": ("Method, or why not estimable", text),
    }
    tests: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", text),
        "measure": ("Measure", text),
        "n_groups": ("Groups compared", count),
        "q": ("Q", number),
        "df": ("df", count),
        "p_value": ("p of heterogeneity", p_value),
        "p_value_holm": ("p, Holm-corrected", p_value),
    }
    return Section(
        heading="Subgroups (fairness): does performance differ between groups of patients?",
        paragraphs=[
            "Groups with fewer than 10 events or non-events have no estimates of measures that need "
            "outcomes. A wide interval is not evidence of equal performance. 'recommended ...' is the "
            "proportion of the group for whom an arm is recommended."
        ],
        tables=[
            shown(report.tables["subgroup tests"], tests, "Tests of heterogeneity between groups."),
            shown(table, columns, "Estimates by group."),
        ],
        note="Cochran's Q over groups, on a scale on which the measure is approximately normal; Holm 1979.",
    )
