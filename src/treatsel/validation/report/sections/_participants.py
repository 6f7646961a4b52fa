"""Section: participants."""

import pandas as pd

from treatsel._reporting.page import Section, Table
from treatsel.validation.report._data import ReportData


def participants(report: ReportData) -> Section:
    """Return the flow of patients by arm."""
    flow = report.flow
    shown = pd.DataFrame(
        {
            "Received arm": flow["arm"].astype(str),
            "Patients": [f"{n:,}" for n in flow["n"]],
            "Outcome observed": [f"{n:,}" for n in flow["n_observed"]],
            f"With {report.outcome_label}": [f"{n:,}" for n in flow["n_events"]],
            "Arm recommended": ["-" if n != n else f"{int(n):,}" for n in flow["n_recommended"]],
        }
    )
    return Section(
        heading="Participants: which patients are in the validation cohort?",
        paragraphs=[
            "Patients by received arm, the number with the outcome observed, and the number for whom the "
            "model recommends the arm."
        ],
        tables=[Table(shown, "Flow of patients by arm.")],
    )
