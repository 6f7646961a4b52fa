"""Section: performance by subgroup."""

from treatsel._reporting.format import number, p_value
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text, three


def subgroups(report: ReportData) -> Section:
    """Subgroups by the columns with the role audit."""
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
        "method": ("Interval by, or why none", text),
    }
    tests: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", text),
        "measure": ("Measure", text),
        "n_groups": ("Groups compared", count),
        "q": ("Q", number),
        "df": ("df", count),
        "p_value": ("p of no differences", p_value),
        "p_value_holm": ("p, corrected for all tests", p_value),
    }
    return Section(
        heading="Is it as good for every group?",
        paragraphs=[
            "Groups with fewer than 10 events or non-events have no figures of their own: an interval too "
            "wide to tell is no evidence that all is well. 'recommended ...' is the share of the group that "
            "is sent to an arm."
        ],
        tables=[
            shown(report.tables["subgroup tests"], tests, "Differences between groups."),
            shown(table, columns, "Figures by group."),
        ],
        note="Cochran's Q over groups, on a scale on which the measure is about normal; Holm's correction.",
    )
