"""Section: calibration."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import number, p_value
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import figures_table


def calibration(report: ReportData) -> Section:
    """Return curves, measures and tests of calibration."""
    curve = plots.to_svg(report.plot(plots.bare_axes), name="calibration")
    by_arm = plots.calibration_panels(report.calibration_by_arm, plots.bare_figure)
    panels = plots.to_svg(by_arm, name="arms")
    return Section(
        heading="Calibration: do predicted probabilities agree with observed proportions?",
        paragraphs=[
            "Among patients with a prediction of 40 %, about 40 % should have the outcome: the curve should "
            "lie on the dashed line. A slope below 1 means that predictions are too extreme; calibration in "
            "the large above 0 means that the outcome is more frequent than predicted."
        ],
        figures=[
            Figure(curve, "Observed against predicted, overall, with confidence band and groups."),
            Figure(panels, "Observed against predicted, by received arm."),
        ],
        tables=[
            figures_table(report, ["calibration"], "Calibration."),
            *_tests(report),
        ],
        note="Restricted cubic splines on the logit with a pointwise band; groups of equal size with Wilson "
        "intervals. Van Calster et al. 2019.",
    )


def _tests(report: ReportData) -> list[Table]:
    if "calibration tests" not in report.tables:  # a report written before they were added
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
        "Tests of calibration: a small p value is evidence of miscalibration, but not of its size. With many "
        "patients, even slight miscalibration gives a small p value."
    )
    return [Table(frame, caption)]
