"""Section: case mix."""

from treatsel._reporting.format import number, percent
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text


def case_mix(report: ReportData) -> Section:
    """Return the distribution of the predictions, overall and by arm."""
    columns: dict[str, tuple[str, Shown]] = {
        "group": ("Received arm", text),
        "n": ("n", count),
        "mean_prediction": ("Mean prediction", percent),
        "observed": ("Observed", percent),
        "mean_logit": ("Mean logit", number),
        "sd_logit": ("SD of the logit", number),
    }
    return Section(
        heading="Case mix: how much do these patients differ from each other?",
        paragraphs=[
            "The more predictions vary, the easier it is to discriminate between patients. Before concluding "
            "that a model performs better or worse than in another cohort, compare the SD of the logit and "
            "the model-based concordance (the AUC expected in this case mix if the model is correct)."
        ],
        tables=[
            shown(report.tables["case mix"], columns, "Distribution of the predictions for the received arm.")
        ],
        note="Debray et al. 2015; model-based concordance: van Klaveren et al. 2016.",
    )
