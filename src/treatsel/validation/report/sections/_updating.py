"""Section: updating the model."""

from treatsel._reporting.format import number, p_value
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text


def updating(report: ReportData) -> Section:
    """Return the closed test of model updates."""
    table = report.tables["updating"]
    columns: dict[str, tuple[str, Shown]] = {
        "method": ("Update", text),
        "n_parameters": ("Parameters", count),
        "log_likelihood": ("Log-likelihood", number),
        "slope": ("Slope", number),
    }
    if "p_value" in table:
        columns |= {"statistic": ("LR against refit", number), "df": ("df", count), "p_value": ("p", p_value)}
    return Section(
        heading="Updating: should the model be revised before use?",
        paragraphs=[
            "Updates are ordered from no change to a refit. The first that the likelihood-ratio test against "
            "the refit does not reject is sufficient."
        ],
        tables=[shown(table, columns, "Updates of the model in these patients.")],
        note="Closed test: Vergouwe et al. 2017.",
    )
