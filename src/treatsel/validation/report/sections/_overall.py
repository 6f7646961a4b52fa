"""Section: overall performance."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table


def overall(report: ReportData) -> Section:
    return Section(
        heading="How close are predictions to outcomes?",
        paragraphs=[
            "Brier score: mean squared distance, lower is better. Scaled Brier score: the share of the "
            "distance of the base rate that the model removes; at 0 it is no better than the base rate."
        ],
        tables=[figures_table(report, ["overall"], "Overall accuracy.")],
    )
