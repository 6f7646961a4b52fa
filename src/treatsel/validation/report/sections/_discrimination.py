"""Section: discrimination."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table


def discrimination(report: ReportData) -> Section:
    """Return base rate, AUCs and accuracy."""
    return Section(
        heading="Discrimination: are predictions higher for patients with the outcome?",
        paragraphs=[
            "The AUC is the probability that a patient with the outcome has a higher prediction than one "
            "without (0.5 is chance). The within-arm AUC compares patients of the same arm only, so that "
            "differences between arms do not contribute."
        ],
        tables=[figures_table(report, ["base rate", "discrimination"], "Base rate and discrimination.")],
        note="DeLong et al. 1988. Predictions are those for the received arm.",
    )
