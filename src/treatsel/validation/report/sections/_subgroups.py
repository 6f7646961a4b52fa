"""Section: subgroups (fairness)."""

from treatsel._reporting.format import number, p_value
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._effect_modification import sentence_of_test
from treatsel.validation.report.sections._tables import ESTIMATE_COLUMNS, Shown, count, shown, text


def subgroups(report: ReportData) -> Section:
    """Return performance by subgroup, and tests of heterogeneity."""
    table = report.tables["subgroups"]
    table = table[table["variable"] != "overall"]
    columns: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", report.label),
        "group": ("Group", text),
        **ESTIMATE_COLUMNS,
    }
    tests: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", report.label),
        "measure": ("Measure", text),
        "n_groups": ("Groups compared", count),
        "q": ("Q", number),
        "df": ("df", count),
        "p_value": ("p for heterogeneity", p_value),
        "p_value_holm": ("p, Holm-corrected", p_value),
    }
    return Section(
        heading="Subgroups (fairness): does performance differ between groups of patients?",
        paragraphs=[
            "Groups with fewer than 10 events or non-events have no estimates of measures that need "
            "outcomes. A wide interval is not evidence of equal performance. Rows 'recommended ...' give the "
            "proportion of the group for whom an arm is recommended.",
            *([sentence_of_test(report)] if "effect modification test" in report.tables else []),
        ],
        tables=[
            shown(report.tables["subgroup tests"], tests, "Tests of heterogeneity between groups."),
            shown(table, columns, "Estimates by group."),
        ],
        note="Cochran's Q over groups, on a scale on which the measure is approximately normal; Holm 1979.",
    )
