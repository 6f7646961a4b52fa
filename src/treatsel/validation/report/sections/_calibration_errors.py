"""Section: calibration errors."""

import pandas as pd

from treatsel._reporting.format import percent
from treatsel._reporting.page import Section, Table
from treatsel.validation.report._data import ReportData


def calibration_errors(report: ReportData) -> Section:
    """Return the distances from the calibration curve, and those expected under perfect calibration."""
    rows = report.tables["calibration errors"]
    figures = report.figures
    methods = figures.loc[figures["section"] == "calibration errors", "method"].unique()
    frame = pd.DataFrame(
        {
            "Distance": [
                str(name).upper() if name == "ici" else str(name).capitalize() for name in rows["measure"]
            ],
            "Estimate": [percent(value) for value in rows["value"]],
            "Lower": [percent(value) for value in rows["lower"]],
            "Upper": [percent(value) for value in rows["upper"]],
            "Expected if calibrated": [percent(value) for value in rows["expected_under_calibration"]],
            "95th percentile if calibrated": [percent(value) for value in rows["q95_under_calibration"]],
        }
    )
    return Section(
        heading="Calibration errors: how far are predictions from the calibration curve?",
        paragraphs=[
            "Distance between predictions and calibration curve: mean (ICI), median (E50), 90th percentile "
            "(E90) and maximum (Emax). They are above 0 even under perfect calibration; compare with the "
            "last two columns."
        ],
        tables=[Table(frame, "Calibration errors.")],
        note=f"Intervals: {'; '.join(methods)}. Austin & Steyerberg 2019.",
    )
