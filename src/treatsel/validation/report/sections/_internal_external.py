"""Section: internal-external cross-validation."""

from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._sites import by_site


def internal_external(report: ReportData) -> Section:
    """Return performance at each site of a model fitted to the other sites."""
    return by_site(
        report,
        "internal-external",
        "Internal-external cross-validation: how well does a model fitted here perform at a new site?",
        "A new model is fitted to all sites but one and evaluated at that one, for each site in turn. This "
        "evaluates the modeling procedure, not the model validated above.",
    )
