"""Section: sensitivity to unmeasured confounding."""

from treatsel._reporting.format import number, points
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, shown


def confounding(report: ReportData) -> Section:
    """Sensitivity to what was not measured."""
    columns: dict[str, tuple[str, Shown]] = {
        "Lambda": ("Lambda", number),
        "lowest": ("Lowest gain", points),
        "highest": ("Highest gain", points),
        "lower": ("Lower limit", points),
        "upper": ("Upper limit", points),
    }
    return Section(
        heading="What if something unmeasured decided who got which arm?",
        paragraphs=[
            "Lambda is how much the odds of being given an arm may differ between patients who look alike. "
            "At 1 all reasons were measured. If a small Lambda already lets the gain be of either sign, "
            "little confounding would suffice to explain it."
        ],
        tables=[shown(report.tables["confounding"], columns, "Gain over the best single arm, by Lambda.")],
        note="Marginal sensitivity model: Tan 2006; Zhao, Small & Bhattacharya 2019. Weighted estimate.",
    )
