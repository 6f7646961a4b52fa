"""Sections of a validation report's page that are always there."""

import pandas as pd

from treatsel._reporting.page import Section, Table
from treatsel.validation.report._data import ReportData


def participants(report: ReportData) -> Section:
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
