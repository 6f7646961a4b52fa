"""Section: sensitivity to unmeasured confounding."""

from treatsel._reporting.format import number, points
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, shown


def confounding(report: ReportData) -> Section:
    """Return bounds on the gain under unmeasured confounding."""
    columns: dict[str, tuple[str, Shown]] = {
        "Lambda": ("Lambda", number),
        "lowest": ("Lowest gain", points),
        "highest": ("Highest gain", points),
        "lower": ("Lower limit", points),
        "upper": ("Upper limit", points),
    }
    return Section(
        heading="Unmeasured confounding: how much of it would explain the gain?",
        paragraphs=[
            "Lambda bounds the odds ratio of receiving an arm between patients with the same covariates. At "
            "1 there is no unmeasured confounding. If the bounds include 0 even at a small Lambda, little "
            "confounding would suffice to explain the gain."
        ],
        tables=[shown(report.tables["confounding"], columns, "Gain over the best single arm, by Lambda.")],
        note="Marginal sensitivity model: Tan 2006; Zhao, Small & Bhattacharya 2019. Weighted estimate.",
    )
