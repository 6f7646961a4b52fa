"""Picture of a delta-adjusted gain, or observed / expected, by the shift of lost outcomes."""

from typing import Any

import pandas as pd

from treatsel._reporting.plots import curves, intervals_of

GAIN = "gain"
MARKED = "Filled circle: the sign of the gain changes; open circle: its interval begins to include 0"


def shifted_curves(
    table: pd.DataFrame, tipping: pd.DataFrame, measure: str, level: float, ax: Any = None, **kwargs: Any
) -> Any:
    """Draw one measure of the tables of a `DeltaAdjusted`; return the Axes."""
    ax = curves(
        table[table["measure"] == measure],
        x="shift",
        by="lost",
        reference=0.0 if measure == GAIN else 1.0,
        xlabel="How much worse the lost fared (logits; below 0: better)",
        ylabel="Gain (proportion)" if measure == GAIN else measure.capitalize(),
        band=intervals_of(level),
        note=MARKED if measure == GAIN else "",
        ax=ax,
        **kwargs,
    )
    if measure == GAIN:
        _mark(ax, table, tipping)
    return ax


def _mark(ax: Any, table: pd.DataFrame, tipping: pd.DataFrame) -> None:
    """Mark the shifts at which the sign of the gain, or whether its interval includes 0, changes."""
    low, high = table["shift"].min(), table["shift"].max()
    lines = dict(zip(table["lost"].unique(), _lines(ax), strict=False))
    for row in tipping[tipping["lost"].isin(list(lines))].to_dict(orient="records"):
        color = lines[row["lost"]].get_color()
        for key, face in (("tipping_estimate", color), ("tipping_limit", "white")):
            shift = row[key]
            if shift is not None and low <= shift <= high and shift != 0:
                ax.plot([shift], [0.0], marker="o", color=color, markerfacecolor=face, linestyle="none")


def _lines(ax: Any) -> list[Any]:
    """Return the curves: the lines that a legend names."""
    return [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
