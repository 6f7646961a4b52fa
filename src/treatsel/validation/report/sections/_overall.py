"""Section: overall performance."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table


def overall(report: ReportData) -> Section:
    """Return overall measures of performance."""
    return Section(
        heading="Overall performance: how close are predictions to outcomes?",
        paragraphs=[
            "Brier score: mean squared difference between outcome and prediction; lower is better. Scaled "
            "Brier score: its relative reduction against predicting the base rate for all patients; 0 means "
            "no improvement."
        ],
        tables=[figures_table(report, ["overall"], "Overall performance.")],
    )
