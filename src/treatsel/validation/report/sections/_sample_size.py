"""Section: sample size of a validation."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text, three


def sample_size(report: ReportData) -> Section:
    """Sample size."""
    columns: dict[str, tuple[str, Shown]] = {
        "criterion": ("For", text),
        "n": ("Patients needed", count),
        "expected": ("Expected", three),
        "target": ("Width of the interval", three),
        "about": ("What is meant", text),
    }
    n = int(report.figure("base rate")["n"])
    return Section(
        heading="Were there enough patients?",
        paragraphs=[
            f"Needed for intervals of the usual widths, with the AUC and rate seen here; there are {n:,}."
        ],
        tables=[shown(report.tables["sample size"], columns, "Patients that a validation needs.")],
        note="Riley et al. 2021; Archer et al. 2021.",
    )
