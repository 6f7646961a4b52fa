"""Section: updating the model."""

from treatsel._reporting.format import number, p_value
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text


def updating(report: ReportData) -> Section:
    """Updating of the model."""
    table = report.tables["updating"]
    columns: dict[str, tuple[str, Shown]] = {
        "method": ("Update", text),
        "n_parameters": ("Numbers learned", count),
        "log_likelihood": ("Log-likelihood", number),
        "slope": ("Slope", number),
    }
    if "p_value" in table:
        columns |= {"statistic": ("LR against refit", number), "df": ("df", count), "p_value": ("p", p_value)}
    return Section(
        heading="Should the model be updated first?",
        paragraphs=[
            "From no change to fitting anew: the first update that is not clearly worse than fitting anew is "
            "enough."
        ],
        tables=[shown(table, columns, "Ways to update the model on these patients.")],
        note="Closed test: Vergouwe et al. 2017.",
    )
