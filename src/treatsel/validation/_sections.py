"""Sections of a validation report's page that are always there."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, p_value, percent, points
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation.parts._part import OVERALL

if TYPE_CHECKING:
    from treatsel.validation.report._report import ValidationReport

_PROPORTIONS = {"base rate", "policy"}


def figures_table(report: "ValidationReport", sections: list[str], caption: str) -> Table:
    """Return the figures of some sections as a table."""
    return table_of(report.figures[report.figures["section"].isin(sections)], caption)


def table_of(rows: pd.DataFrame, caption: str) -> Table:
    """Return rows of figures as a table; without groups it has no column for them."""
    shown = pd.DataFrame(
        {
            "Measure": rows["measure"],
            "Group": rows["group"],
            "Estimate": [_shown(row, "value") for row in rows.to_dict(orient="records")],
            "Lower": [_shown(row, "lower") for row in rows.to_dict(orient="records")],
            "Upper": [_shown(row, "upper") for row in rows.to_dict(orient="records")],
            "n": [f"{int(n):,}" for n in rows["n"]],
            "Events": [DASH if pd.isna(n) else f"{int(n):,}" for n in rows["n_events"]],
            "Interval by": rows["method"],
        }
    )
    if set(shown["Group"]) <= {OVERALL}:
        shown = shown.drop(columns="Group")
    return Table(shown, caption, words=("Group", "Interval by"))


def _shown(row: dict[Any, Any], key: str) -> str:
    if row["section"] in ("gain", "naive"):
        return points(row[key])
    return percent(row[key]) if row["section"] in _PROPORTIONS else number(row[key], 3)


def flow(report: "ValidationReport") -> Section:
    flow = report.flow
    shown = pd.DataFrame(
        {
            "Received arm": flow["arm"].astype(str),
            "Patients": [f"{n:,}" for n in flow["n"]],
            "Outcome observed": [f"{n:,}" for n in flow["n_observed"]],
            f"With {report.outcome}": [f"{n:,}" for n in flow["n_events"]],
            "Recommended to": [f"{n:,}" for n in flow["n_recommended"]],
        }
    )
    return Section(
        heading="Who was validated",
        paragraphs=[
            "Patients by the arm they received, how many had the outcome observed, and to how many the "
            "model would have given the arm."
        ],
        tables=[Table(shown, "Flow of patients by arm.")],
    )


def policies(report: "ValidationReport") -> Section:
    n_policies = int((report.figures["section"] == "policy").sum())
    heading, good = "Does it help to follow the recommendation?", report.good_name
    if not n_policies:
        return Section(heading=heading, paragraphs=[report.headline])
    axes = plots.bare_axes(width=7, height=1.2 + 0.36 * n_policies)
    svg = plots.to_svg(report.plot_policies(axes), name="policies")
    return Section(
        heading=heading,
        paragraphs=[
            f"Expected proportion of patients with {good} if everybody got one and the same arm, and if "
            "everybody got the recommended arm. The recommendation must beat the best single arm, not the "
            "average: comparing patients who happened to get their recommended arm with the others would "
            "show a gain even where there is none."
        ],
        figures=[Figure(svg, f"Expected proportion with {good} under each policy, with intervals.")],
        tables=[
            figures_table(report, ["policy"], "Policies."),
            table_of(
                _with_arms(report.figures[report.figures["section"] == "gain"]),
                "Gains: the recommended arms against simpler policies. The first row is the headline; the "
                "next show it by both ways to name the best single arm. Picked on this very cohort it is a "
                "little too hard on the recommendations; the interval for any pick allows for that.",
            ),
            figures_table(
                report,
                ["naive"],
                "Not a gain: patients who happened to get their recommended arm against the others, and what "
                "the same contrast would show if nobody gained. For comparison with older papers only.",
            ),
        ],
        note=f"Best single arm: {report.gain.best_arm}, {report.gain.chosen}. Doubly robust (AIPW) scores; "
        "Robins, Rotnitzky & Zhao 1994. Weighted estimate: Hajek, from patients who received their "
        f"recommended arm, worth {report.effective_n:.0f} patients of equal weight.",
    )


def _with_arms(gains: pd.DataFrame) -> pd.DataFrame:
    """Return the gains with the arms compared with in the name of the measure."""
    named = gains["measure"].where(gains["group"] == OVERALL, gains["measure"] + ": " + gains["group"])
    return gains.assign(measure=named, group=OVERALL)


def discrimination(report: "ValidationReport") -> Section:
    return Section(
        heading="Does it tell patients apart?",
        paragraphs=[
            "Chance that a patient with the outcome has a higher prediction than one without (0.5 is "
            "guessing). The within-arm AUC compares patients of the same arm only, so that differences "
            "between arms do not count."
        ],
        tables=[figures_table(report, ["base rate", "discrimination"], "Base rate and discrimination.")],
        note="DeLong 1988. Predictions are those for the received arm.",
    )


def calibration(report: "ValidationReport") -> Section:
    axes = plots.bare_axes(width=5, height=5)
    curve = plots.to_svg(report.plot(axes), name="calibration")
    panels = plots.to_svg(plots.calibration_panels(report.calibration_by_arm), name="arms")
    return Section(
        heading="Do the probabilities mean what they say?",
        paragraphs=[
            "Among patients with a prediction of 40 %, about 40 % should have the outcome: the curve should "
            "lie on the dashed line. A slope below 1 means predictions that are too extreme; calibration in "
            "the large above 0 means that the outcome is more frequent than predicted."
        ],
        figures=[
            Figure(curve, "Observed against predicted, overall; band and groups with intervals."),
            Figure(panels, "Observed against predicted, by received arm."),
        ],
        tables=[
            figures_table(report, ["calibration"], "Calibration."),
            *_distances(report),
            *_tests(report),
        ],
        note="Restricted cubic splines on the logit with a pointwise band; groups of equal size with Wilson "
        "intervals. Van Calster et al. 2019.",
    )


def _tests(report: "ValidationReport") -> list[Table]:
    if "calibration tests" not in report.tables:  # a report of an earlier version
        return []
    table = report.tables["calibration tests"]
    frame = pd.DataFrame(
        {
            "Test": table["test"],
            "Statistic": [number(value) for value in table["statistic"]],
            "df": [number(value, 0) for value in table["df"]],
            "p": [p_value(value) for value in table["p_value"]],
            "n": [f"{int(n):,}" for n in table["n"]],
            "Events": [f"{int(n):,}" for n in table["n_events"]],
        }
    )
    caption = (
        "Tests of calibration: a small p says that the probabilities are off, not by how much. With many "
        "patients any model fails them."
    )
    return [Table(frame, caption)]


def overall(report: "ValidationReport") -> Section:
    return Section(
        heading="How close are predictions to outcomes?",
        paragraphs=[
            "Brier score: mean squared distance, lower is better. Scaled Brier score: the share of the "
            "distance of the base rate that the model removes; at 0 it is no better than the base rate."
        ],
        tables=[figures_table(report, ["overall"], "Overall accuracy.")],
    )


def _distances(report: "ValidationReport") -> list[Table]:
    """Return the distances from the curve beside what perfect calibration would show."""
    if "calibration errors" not in report.tables:
        return []
    rows = report.tables["calibration errors"]
    frame = pd.DataFrame(
        {
            "Distance": [
                str(name).upper() if name == "ici" else str(name).capitalize() for name in rows["measure"]
            ],
            "Estimate": [percent(value) for value in rows["value"]],
            "Lower": [percent(value) for value in rows["lower"]],
            "Upper": [percent(value) for value in rows["upper"]],
            "If perfect: mean": [percent(value) for value in rows["expected_if_perfect"]],
            "If perfect: 95 % below": [percent(value) for value in rows["p95_if_perfect"]],
        }
    )
    caption = (
        "Distance between prediction and curve: mean (ICI), median, 90th percentile, largest. They are above "
        "0 even for perfect predictions; compare with the two last columns."
    )
    return [Table(frame, caption)]
