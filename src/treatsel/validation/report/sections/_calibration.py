"""Section: calibration."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import number, p_value, percent
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table


def calibration(report: ReportData) -> Section:
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


def _tests(report: ReportData) -> list[Table]:
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


def _distances(report: ReportData) -> list[Table]:
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
            "If perfect: mean": [percent(value) for value in rows["expected_under_calibration"]],
            "If perfect: 95 % below": [percent(value) for value in rows["q95_under_calibration"]],
        }
    )
    caption = (
        "Distance between prediction and curve: mean (ICI), median, 90th percentile, largest. They are above "
        "0 even for perfect predictions; compare with the two last columns."
    )
    return [Table(frame, caption)]
