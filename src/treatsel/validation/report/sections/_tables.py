"""Tables of sections: estimates as text, and the columns shown."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, percent, points
from treatsel._reporting.page import Figure, Table
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._data import ReportData

Shown = Callable[[Any], str]
_PROPORTIONS = {"base rate", "policy", "rule in use"}


def count(value: Any) -> str:
    """Return an integer as text, or a dash."""
    return DASH if value is None or value != value else f"{int(value):,}"


def three(value: Any) -> str:
    """Return a number with three decimals, or a dash."""
    return number(value, 3)


def text(value: Any) -> str:
    """Return a text, or a dash."""
    return DASH if value is None or value != value else str(value)


ESTIMATE_COLUMNS: dict[str, tuple[str, Shown]] = {
    "measure": ("Measure", text),
    "value": ("Estimate", three),
    "lower": ("Lower", three),
    "upper": ("Upper", three),
    "n": ("n", count),
    "n_events": ("Events", count),
    "method": ("Method, or why not estimable", text),
}


def shown(table: pd.DataFrame, columns: Mapping[str, tuple[str, Shown]], caption: str) -> Table:
    """Return columns of a table as text, under their headings."""
    frame = pd.DataFrame(
        {heading: [form(value) for value in table[name]] for name, (heading, form) in columns.items()}
    )
    words = tuple(heading for heading, form in columns.values() if form is text or _is_label(form))
    return Table(frame, caption, words=words)


def _is_label(form: Shown) -> bool:
    return getattr(form, "__name__", "") == ReportData.label.__name__


def figure(ax: Any, name: str, description: str) -> Figure:
    """Return axes as a figure of the page."""
    return Figure(plots.to_svg(ax, name=name), description)


def figures_table(report: ReportData, sections: list[str], caption: str) -> Table:
    """Return the estimates of some sections as a table."""
    return table_of(report.figures[report.figures["section"].isin(sections)], caption)


def table_of(rows: pd.DataFrame, caption: str) -> Table:
    """Return rows of estimates as a table; without groups, the column Group is dropped."""
    shown = pd.DataFrame(
        {
            "Measure": rows["measure"],
            "Group": rows["group"],
            "Estimate": [_shown(row, "value") for row in rows.to_dict(orient="records")],
            "Lower": [_shown(row, "lower") for row in rows.to_dict(orient="records")],
            "Upper": [_shown(row, "upper") for row in rows.to_dict(orient="records")],
            "n": [f"{int(n):,}" for n in rows["n"]],
            "Events": [DASH if pd.isna(n) else f"{int(n):,}" for n in rows["n_events"]],
            "Method": rows["method"],
        }
    )
    if set(shown["Group"]) <= {OVERALL}:
        shown = shown.drop(columns="Group")
    return Table(shown, caption, words=("Group", "Method"))


def _shown(row: dict[Any, Any], key: str) -> str:
    is_gain = row["section"] == "rule in use" and row["measure"].startswith("gain")
    if row["section"] in ("gain", "naive") or is_gain:
        return points(row[key])
    return percent(row[key]) if row["section"] in _PROPORTIONS else number(row[key], 3)
