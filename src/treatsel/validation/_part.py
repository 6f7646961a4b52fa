"""What every part of a validation gives: figures in rows, curves in tables, and what cannot be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from treatsel.metrics import Estimate, Gain

OVERALL = "overall"
COLUMNS = ["section", "measure", "group", "value", "lower", "upper", "n", "n_events", "method"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a report.

    `figures`: rows with `COLUMNS`. `tables`: curves and lists by name. `cautions`: what a reader must not
    overlook. `not_estimable`: (what, why).
    """

    figures: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)
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


def joined(parts: Mapping[str, Part]) -> Part:
    """Return all parts as one; what is not estimable is told by the part that says so."""
    whole = Part()
    for part in parts.values():
        whole.figures.extend(part.figures)
        whole.tables.update(part.tables)
        whole.cautions.extend(part.cautions)
        whole.not_estimable.extend(part.not_estimable)
    return whole
