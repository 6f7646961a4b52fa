"""Part: instability of predictions and recommendations, in the development cohort."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from treatsel._measures import labels_of
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.validation import studies
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row
from treatsel.validation.studies import Instability

SECTION = "instability"
FIGURES = labels_of("mape", "recommendation_agreement", "calibration_slope")
# Value and gain of refits are shown beside what they are, never as figures of their own: they are evaluated
# in patients to whom most of each refit was fitted.
OPTIMISTIC = ("policy_value", "gain", "gain_out_of_bag")


def instability(
    model: Any,
    cohort: Cohort,
    development: Any,
    refits: int | Instability | None,
    **options: Any,
) -> dict[str, Callable[..., PartResult]]:
    """Return the part by its name, if it is asked for; `refits`: their number, or the study itself.

    The study is made in the development cohort, which without `development` is the cohort itself.

    Raises
    ------
    InputError
        If the model cannot be refitted, or its parameters give another model in these patients.
    """
    if refits is None:
        return {}
    if isinstance(refits, Instability):
        return {SECTION: partial(_part, found=refits)}
    if development is not None and not isinstance(development, Cohort):
        raise InputError("instability needs development as a Cohort, to which the model is fitted again.")
    if development is not None and isinstance(options.get("assignment"), pd.DataFrame):
        options["assignment"] = "estimated"  # the table is of the patients who are validated
    where = cohort if development is None else development
    return {SECTION: partial(_part, found=studies.instability(model, where, n_boot=refits, **options))}


def _part(task: ValidationTask, policies: Policies, found: Instability) -> PartResult:
    """Return the figures of the study, and its tables without single patients."""
    if found.outcome != task.outcome:
        raise InputError(f"instability is of the outcome {found.outcome!r}, not of {task.outcome!r}.")
    shown = found.table
    if policies.problem is not None:
        shown = shown[~shown["measure"].isin(OPTIMISTIC)].reset_index(drop=True)
    figures = []
    for each in shown[shown["measure"].isin(FIGURES)].to_dict(orient="records"):
        line = row(
            SECTION,
            f"{FIGURES[str(each['measure'])]}{'' if 'slope' not in each['measure'] else ', refits'}",
            each["value"],
            each["lower"],
            each["upper"],
            n=each["n"],
            method=found.method(each["mc_error"]),
            group=each["group"],
        )
        figures.append(line)
    tables = {SECTION: shown, f"{SECTION}: predictions": found.predictions}
    return PartResult(figures=figures, tables=tables | {f"{SECTION}: calibration": found.curves})
