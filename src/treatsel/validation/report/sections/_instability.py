"""Section: instability of predictions and recommendations."""

import pandas as pd

from treatsel._measures import MEASURES
from treatsel._reporting import bands, plots
from treatsel._reporting.format import number, percent, points
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table

LABELS = {
    "policy_value": "rate of the good outcome under the recommendations",
    "gain": "gain over the best single arm of the model, all patients",
    "gain_out_of_bag": "the same, patients outside the resample only",
}
SHOWN = {"gain": points, "gain_out_of_bag": points, "calibration_slope": number}
SHOWN |= {"calibration_in_the_large": number}


def instability(report: ReportData) -> Section:
    """Return how much predictions and recommendations differ between refits to resamples."""
    figures = []
    if len(report.tables["instability: predictions"]):
        of_predictions = bands.prediction_bands(
            report.tables["instability: predictions"], figure=plots.bare_figure
        )
        about = "Predictions of the refits against those of the model, by arm; no single patients are shown."
        figures.append(Figure(plots.to_svg(of_predictions, name="instability"), about))
    if len(report.tables["instability: calibration"]):
        curve = bands.calibration_band(report.tables["instability: calibration"], plots.bare_axes)
        about = "Calibration curves of the refits in the patients of the development cohort."
        figures.append(Figure(plots.to_svg(curve, name="refits"), about))
    return Section(
        heading="Instability: how much would predictions and recommendations differ, had other patients "
        "been sampled?",
        paragraphs=[
            "The whole modeling procedure was repeated in bootstrap resamples of the development cohort. "
            "Each refit is compared with the model in the patients of that cohort. Interval limits are the "
            "2.5th and 97.5th percentile over refits.",
            *_in_words(report),
            "Stable predictions are not necessarily right: a model that predicts the same for all patients "
            "is stable. Where the recommended arm changes between refits, its advantage over the others is "
            "smaller than what these patients can tell.",
        ],
        figures=figures,
        tables=[
            figures_table(report, ["instability"], "Instability over refits."),
            _of_refits(report.tables["instability"]),
        ],
        note="MAPE: mean absolute prediction error, the mean over patients of the absolute difference "
        "between the prediction of a refit and that of the model. Riley & Collins 2023.",
    )


def _in_words(report: ReportData) -> list[str]:
    """Return the agreement of the recommended arm as a sentence."""
    label = MEASURES["recommendation_agreement"].label
    if not report.has(label):
        return []
    found = report.figure(label)
    if found["value"] != found["value"]:
        return []
    limits = f"{percent(found['lower'])} to {percent(found['upper'])}"
    return [f"On average, {percent(found['value'])} of the patients keep their recommended arm ({limits})."]


def _of_refits(table: pd.DataFrame) -> Table:
    """Return recommendations, values and calibration of the model and of its refits."""
    rows = [
        {
            "Figure": _label(str(each["measure"])),
            "Arm": "" if each["group"] == "overall" else each["group"],
            "Model": _text(each, "original"),
            "Refits, mean": _text(each, "value"),
            "Lower": _text(each, "lower"),
            "Upper": _text(each, "upper"),
        }
        for each in table.to_dict(orient="records")
        if each["measure"] not in ("mape", "recommendation_agreement")
    ]
    columns = ["Figure", "Arm", "Model", "Refits, mean", "Lower", "Upper"]
    caption = (
        "The model and its refits in the development cohort. Rates and gains of all patients are optimistic, "
        "since most of these patients are in each resample; only the gain outside it is not."
    )
    return Table(pd.DataFrame(rows, columns=columns), caption, words=("Figure", "Arm"))


def _label(measure: str) -> str:
    return LABELS.get(measure) or MEASURES[measure].label


def _text(row: dict[object, object], key: str) -> str:
    return SHOWN.get(str(row["measure"]), percent)(row[key])
