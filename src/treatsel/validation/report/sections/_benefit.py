"""Section of a validation report's page on the benefit of one arm over another."""

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
    """Pairs of arms."""
    curve = plots.curves(
        report.tables["toc"].drop(columns=["lower", "upper"]),
        x="q",
        by="pair",
        xlabel="Share of patients, those with the largest predicted benefit first",
        ylabel="Their benefit less everybody's",
        reference=0,
        ax=plots.bare_axes(width=7, height=4.2),
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
    caption = "Predicted and observed (doubly robust) benefit in groups by predicted benefit."
    rows = report.figures[report.figures["section"] == "benefit"]
    more = rows["measure"].str.startswith((*ONE_PAIR, ERROR))
    best = report.gain.comparator_arm
    return Section(
        heading="Is the benefit larger where the model says so?",
        paragraphs=[
            f"Each arm against {best}, in patients who received either. A slope of benefit "
            "of 1 means that predicted differences are as large as they turn out; 0, that they tell nothing. "
            "AUTOC and Qini above 0 mean that patients ranked first benefit more. The c-for-benefit depends "
            "on how patients were matched (here: by predicted benefit); read it last.",
            *_why(report, rows[more]),
        ],
        figures=[
            figure(
                curve, "toc", "Benefit of those ranked first (TOC curve); AUTOC in the table has intervals."
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
    """Return which pair has figures of its own, and why."""
    if rows.empty:
        return []
    best = report.gain.comparator_arm
    return [
        f"For one pair there is more: {rows['group'].iloc[0]}, because after {best} this arm "
        "was received by most patients. On the logit, intercept 0 and slope 1 are perfect. E-for-benefit is "
        "the distance of predicted from observed benefit in matched pairs; lower is better, also for the two "
        "losses."
    ]


def _one_pair(report: ReportData, rows: pd.DataFrame) -> list[Table]:
    if rows.empty:
        return []
    pair, errors = rows["group"].iloc[0], rows["measure"].str.startswith(ERROR)
    found = [table_of(rows[~errors].assign(group=OVERALL), f"More on {pair}.")]
    if "benefit errors" not in report.tables:
        return found
    columns: dict[str, tuple[str, Shown]] = {
        "distance": ("Distance", lambda name: ERRORS[name]),
        "value": ("Estimate", percent),
        "lower": ("Lower", percent),
        "upper": ("Upper", percent),
        "n": ("Pairs", count),
        "expected_under_calibration": ("If perfect: mean", percent),
        "q95_under_calibration": ("If perfect: 95 % below", percent),
    }
    caption = (
        f"Errors of {pair}. Interval: {rows.loc[errors, 'method'].iloc[0]}. They are above 0 even for "
        "perfect predictions (compare with the two last columns), and more so in resamples: the interval may "
        "lie above the estimate."
    )
    return [*found, shown(report.tables["benefit errors"], columns, caption)]
