"""Result of one part of a validation: estimates, tables, cautions, and what is not estimable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from treatsel._measures import MEASURES
from treatsel.metrics import FUNCTIONS, Estimate, Gain
from treatsel.validation._task import MIN_EVENTS as MIN_EVENTS
from treatsel.validation._task import ValidationTask

OVERALL = "overall"
# Smallest site or subgroup reported: NHS England suppresses counts below 5 (mental health) or 8 (hospital
# episodes); ten is above both, and fewer patients do not support an estimate in any case.
MIN_REPORTED = 10
COLUMNS = ["section", "measure", "group", "value", "lower", "upper", "n", "n_events", "method"]


class Severity(IntEnum):
    """Severity of a caution; the most severe is listed first."""

    NO_VALIDATION = 0
    MAY_OVERTURN = 1
    ASSOCIATION = 2
    UPDATE = 3
    LOST = 4
    PARTIAL = 5
    MILD = 6


class Caution(NamedTuple):
    """A caution and its severity."""

    severity: Severity
    text: str


@dataclass(frozen=True, kw_only=True, repr=False)
class PartResult:
    """Result of one part of a report.

    `figures`: rows with `COLUMNS`. `tables`: curves and lists by name. `cautions`: warnings that readers
    must see. `not_estimable`: pairs of an estimate and the reason why there is none.
    """

    figures: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    cautions: list[Caution] = field(default_factory=list)
    not_estimable: list[tuple[str, str]] = field(default_factory=list)


def row_of(section: str, measure: str, found: Estimate | Gain, group: Any = OVERALL) -> dict[str, Any]:
    """Return an estimate, or a gain, as a row of figures."""
    return row(
        section,
        measure,
        found.value,
        found.lower,
        found.upper,
        n=found.n,
        n_events=getattr(found, "n_events", None),
        method=found.method,
        group=group,
    )


def row(
    section: str,
    measure: str,
    value: float,
    lower: float,
    upper: float,
    *,
    n: int,
    n_events: int | None = None,
    method: str,
    group: Any = OVERALL,
) -> dict[str, Any]:
    """Return a row of figures."""
    return {
        "section": section,
        "measure": measure,
        "group": str(group),
        "value": float(value),
        "lower": float(lower),
        "upper": float(upper),
        "n": int(n),
        "n_events": None if n_events is None else int(n_events),
        "method": method,
    }


def rows_by_arm(section: str, keys: Sequence[str], task: ValidationTask) -> list[dict[str, Any]]:
    """Return rows of measures (by their keys) for the received arm, in all patients and by that arm.

    If outcomes were lost, patients are weighted; see `ValidationTask.weight`.
    """
    y, own, arms = task.observed, task.own, task.arms
    groups = {OVERALL: np.ones(len(y), dtype=bool)}
    groups |= {str(arm): arms == arm for arm in sorted(set(arms), key=str)}
    rows = []
    for key in keys:
        for group, mask in groups.items():
            found = FUNCTIONS[key](y[mask], own[mask], level=task.level, **task.weights(mask))
            rows.append(weighted_row(section, MEASURES[key].label, found, task, group))
    return rows


def weighted_row(
    section: str, measure: str, found: Estimate, task: ValidationTask, group: Any = OVERALL
) -> dict[str, Any]:
    """Return an estimate as a row that says whether patients were weighted."""
    line = row_of(section, measure, found, group)
    return {**line, "method": line["method"] + task.weighting}


def joined(parts: Mapping[str, PartResult]) -> PartResult:
    """Combine all parts, cautions by severity; list estimates without a value as not estimable."""
    whole = PartResult()
    for part in parts.values():
        whole.figures.extend(part.figures)
        whole.tables.update(part.tables)
        whole.cautions.extend(part.cautions)
        whole.not_estimable.extend(part.not_estimable)
    whole.cautions.sort(key=lambda caution: caution.severity)
    missing = [
        (f"{line['measure']}, {line['group']}", line["method"])
        for line in whole.figures
        if line["value"] != line["value"] and line["section"] != "subgroups"
    ]
    # A part that combines others has already listed its own.
    whole.not_estimable.extend(entry for entry in missing if entry not in whole.not_estimable)
    return whole
