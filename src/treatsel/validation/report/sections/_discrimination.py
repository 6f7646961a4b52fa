"""Section: discrimination."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table


def discrimination(report: ReportData) -> Section:
    return Section(
        heading="Does it tell patients apart?",
        paragraphs=[
            "Chance that a patient with the outcome has a higher prediction than one without (0.5 is "
            "guessing). The within-arm AUC compares patients of the same arm only, so that differences "
            "between arms do not count."
        ],
        tables=[figures_table(report, ["base rate", "discrimination"], "Base rate and discrimination.")],
        note="DeLong 1988. Predictions are those for the received arm.",
    )
