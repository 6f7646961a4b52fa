"""Section: benefit of one arm over another."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import percent, points
from treatsel._reporting.page import Section, Table
from treatsel.validation.parts import ERRORS, OVERALL
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, figure, shown, table_of, text

ONE_PAIR = ("benefit on the logit", "Brier score for benefit", "cross-entropy for benefit")
ERROR = "E-for-benefit"


def benefit(report: ReportData) -> Section:
    """Return calibration and ranking of benefit, by pair of arms."""
    curve = plots.curves(
        report.tables["toc"].drop(columns=["lower", "upper"]),
        x="q",
        by="pair",
        xlabel="Proportion of patients, in order of decreasing predicted benefit",
        ylabel="Their benefit minus that of all patients",
        reference=0,
        ax=plots.bare_axes,
    )
    columns: dict[str, tuple[str, Shown]] = {
        "pair": ("Arms", text),
        "group": ("Fifth", count),
        "n": ("n", count),
        "predicted": ("Predicted", points),
        "observed": ("Observed", points),
        "lower": ("Lower", points),
        "upper": ("Upper", points),
    }
    caption = "Predicted and observed (doubly robust) benefit by fifths of predicted benefit."
    rows = report.figures[report.figures["section"] == "benefit"]
    more = rows["measure"].str.startswith((*ONE_PAIR, ERROR))
    best = report.gain.comparator_arm
    return Section(
        heading="Treatment benefit: is it larger where the model predicts it to be larger?",
        paragraphs=[
            f"Each arm is compared with {best} in patients who received either. A benefit "
            "slope of 1 means that predicted differences are as large as observed; a slope of 0, that they "
            "are uninformative. AUTOC and Qini above 0 mean that patients ranked first benefit more. The "
            "c-for-benefit depends on how patients are matched (here by predicted benefit) and should be "
            "given less weight.",
            *_why(report, rows[more]),
        ],
        figures=[
            figure(
                curve,
                "toc",
                "Benefit of patients ranked first (TOC curve); intervals of AUTOC are in the table.",
            )
        ],
        tables=[
            table_of(rows[~more], "Benefit by pair of arms."),
            shown(report.tables["benefit groups"], columns, caption),
            *_one_pair(report, rows[more]),
        ],
        note="Calibration of benefit: regression of doubly robust scores; on the logit, Hoogland et al. "
        "2024. RATE: Yadlowsky et al. 2025. c-for-benefit: van Klaveren et al. 2018, mean predicted benefit "
        "of matched pairs. E-for-benefit and losses: Maas et al. 2023.",
    )


def _why(report: ReportData, rows: pd.DataFrame) -> list[str]:
    """Return a paragraph that explains which pair has further estimates."""
    if rows.empty:
        return []
    best = report.gain.comparator_arm
    return [
        f"Further estimates are given for {rows['group'].iloc[0]}, the comparison with the arm received most "
        f"often apart from {best}. On the logit scale, intercept 0 and slope 1 are ideal. "
        "E-for-benefit is the distance between predicted and observed benefit in matched pairs; lower is "
        "better, for this and for the two losses."
    ]


def _one_pair(report: ReportData, rows: pd.DataFrame) -> list[Table]:
    if rows.empty:
        return []
    pair, errors = rows["group"].iloc[0], rows["measure"].str.startswith(ERROR)
    found = [table_of(rows[~errors].assign(group=OVERALL), f"Further estimates for {pair}.")]
    if "benefit errors" not in report.tables:
        return found
    columns: dict[str, tuple[str, Shown]] = {
        "distance": ("Distance", lambda name: ERRORS[name]),
        "value": ("Estimate", percent),
        "lower": ("Lower", percent),
        "upper": ("Upper", percent),
        "n": ("Pairs", count),
        "expected_under_calibration": ("Expected if calibrated", percent),
        "q95_under_calibration": ("95th percentile if calibrated", percent),
    }
    caption = (
        f"Errors for {pair}. Interval: {rows.loc[errors, 'method'].iloc[0]}. They are above 0 even under "
        "perfect calibration (compare with the last two columns), and larger in resamples, so the interval "
        "may lie above the estimate."
    )
    return [*found, shown(report.tables["benefit errors"], columns, caption)]
