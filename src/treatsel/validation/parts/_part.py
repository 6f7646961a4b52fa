"""What every part of a validation gives: figures in rows, curves in tables, and what cannot be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import pandas as pd

from treatsel.metrics import Estimate, Gain

OVERALL = "overall"
FEWEST_EVENTS = 10  # events, and non-events, of an arm whose own figures say something
FEWEST_SHOWN = 10  # patients of a site or a subgroup of which anything is told
COLUMNS = ["section", "measure", "group", "value", "lower", "upper", "n", "n_events", "method"]


class Severity(IntEnum):
    """How much a caution weighs; the gravest is told first."""

    NO_VALIDATION = 0
    MAY_OVERTURN = 1
    ASSOCIATION = 2
    UPDATE = 3
    LOST = 4
    PARTIAL = 5
    MILD = 6


class Caution(NamedTuple):
    """What a reader must not overlook, and how grave it is."""

    gravity: Severity
    text: str


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """One part of a report.

    `figures`: rows with `COLUMNS`. `tables`: curves and lists by name. `cautions`: what a reader must not
    overlook. `not_estimable`: (what, why).
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


def joined(parts: Mapping[str, PartResult]) -> PartResult:
    """Return all parts as one, cautions by gravity; what has no value is told as not estimable."""
    whole = PartResult()
    for part in parts.values():
        whole.figures.extend(part.figures)
        whole.tables.update(part.tables)
        whole.cautions.extend(part.cautions)
        whole.not_estimable.extend(part.not_estimable)
    whole.cautions.sort(key=lambda caution: caution.gravity)
    whole.not_estimable.extend(
        (f"{line['measure']}, {line['group']}", line["method"])
        for line in whole.figures
        if line["value"] != line["value"] and line["section"] != "subgroups"
    )
    return whole
