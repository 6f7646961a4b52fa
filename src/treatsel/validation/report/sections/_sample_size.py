"""Section: sample size."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text, three


def sample_size(report: ReportData) -> Section:
    """Return the sample size needed for a validation."""
    columns: dict[str, tuple[str, Shown]] = {
        "criterion": ("Criterion", text),
        "n": ("Patients needed", count),
        "expected": ("Expected", three),
        "target": ("Width of the interval", three),
        "about": ("Meaning", text),
    }
    n = int(report.figure("base rate")["n"])
    return Section(
        heading="Sample size: are there enough patients?",
        paragraphs=[
            "Number of patients needed for intervals of the usual widths, given the AUC and base rate of "
            f"this cohort, which has {n:,} patients with the outcome observed."
        ],
        tables=[shown(report.tables["sample size"], columns, "Sample size needed for a validation.")],
        note="Riley et al. 2021; Archer et al. 2021.",
    )
