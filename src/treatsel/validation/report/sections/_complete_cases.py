"""Section: complete cases beside the figures that represent lost outcomes."""

from typing import Any

import pandas as pd

from treatsel._measures import MEASURES
from treatsel._reporting.format import number, p_value, points
from treatsel._reporting.page import Section, Table
from treatsel.validation.report._data import ReportData


def complete_cases(report: ReportData) -> Section:
    """Return the main figures with and without weights for lost outcomes, and the test of the loss."""
    return Section(
        heading="Lost outcomes: how much do the weights change the figures?",
        paragraphs=[
            "The figures of this report weight the patients whose outcome was observed by the inverse of the "
            "probability of observation, so that they represent everyone. Complete cases are the same "
            "figures without weights. A large difference means that patients with a lost outcome fared "
            "differently, and that the figures depend on the model of observation."
        ],
        tables=[_figures(report), *_tests(report)],
        note="Inverse probability of observation: Seaman & White 2013.",
    )


def _figures(report: ReportData) -> Table:
    table = report.tables["complete cases"]
    rows = table.to_dict(orient="records")
    frame = pd.DataFrame(
        {
            "Measure": table["measure"],
            "Weighted": [_interval(row, "weighted_") for row in rows],
            "Complete cases": [_interval(row, "") for row in rows],
            "n": [f"{int(n):,}" for n in table["n"]],
        }
    )
    return Table(frame, "Main figures with and without weights, each with its interval.", words=("Measure",))


def _interval(row: dict[Any, Any], start: str) -> str:
    form = points if row["measure"] == MEASURES["gain"].label else number
    value, lower, upper = (form(row[f"{start}{name}"]) for name in ("value", "lower", "upper"))
    return f"{value} ({lower.removesuffix(' points')} to {upper.removesuffix(' points')})"


def _tests(report: ReportData) -> list[Table]:
    if "loss test" not in report.tables:
        return []
    table = report.tables["loss test"]
    frame = pd.DataFrame(
        {
            "Process columns": table["columns"],
            "Statistic": [number(value) for value in table["statistic"]],
            "df": [number(value, 0) for value in table["df"]],
            "p": [p_value(value) for value in table["p_value"]],
            "n": [f"{int(n):,}" for n in table["n"]],
            "Missing": [f"{int(n):,}" for n in table["n_missing"]],
        }
    )
    caption = (
        "Does observation depend on process columns, given arm and covariates? A small p value means that "
        "outcomes are hardly missing at random given arm and covariates alone. Whether they are given the "
        "process columns as well cannot be tested."
    )
    return [Table(frame, caption, words=("Process columns",))]
