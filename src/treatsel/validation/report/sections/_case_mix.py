"""Sections of a validation report's page on its patients: case mix, development, imputed covariates."""

from treatsel._reporting.format import number, percent
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, text


def case_mix(report: ReportData) -> Section:
    """Spread of the predictions."""
    columns: dict[str, tuple[str, Shown]] = {
        "group": ("Received arm", text),
        "n": ("n", count),
        "mean_prediction": ("Mean prediction", percent),
        "observed": ("Observed", percent),
        "mean_logit": ("Mean logit", number),
        "sd_logit": ("SD of the logit", number),
    }
    return Section(
        heading="How different are these patients?",
        paragraphs=[
            "The more predictions spread, the easier it is to tell patients apart: compare the SD of the "
            "logit, and the AUC to expect in this case mix, with those of other cohorts before calling a "
            "model better or worse."
        ],
        tables=[shown(report.tables["case mix"], columns, "Spread of the predictions for the received arm.")],
        note="Debray et al. 2015.",
    )
