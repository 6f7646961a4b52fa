"""Plots of tables; each function returns Axes. matplotlib is imported inside functions.

Each function has `ax`, the Axes to draw on (None: new ones; see `axes.new_axes`), and passes further keyword
arguments to its main artist: the points, lines or bars. Intervals have the color of their points or lines.
"""

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from treatsel._reporting.axes import (
    BLUE,
    GREEN,
    GREY,
    LINES,
    PALETTE,
    PURPLE,
    RED,
    YELLOW,
    add_legend,
    bare_axes,
    bare_figure,
    hide_frame,
    label_axes,
    legend_height,
    new_axes,
    new_figure,
    rows_axes,
    spread_ticks,
    style,
    wrapped,
)

__all__ = [
    "attributions",
    "bare_axes",
    "bare_figure",
    "benefit_groups",
    "by_arm_intervals",
    "calibration",
    "calibration_panels",
    "curves",
    "differences",
    "estimates",
    "intervals_of",
    "to_svg",
    "wrapped",
]

STATUS_STYLES = {  # color and marker
    "clear_gain": (GREEN, "o"),
    "leaning": (GREEN, "P"),
    "default_best": (BLUE, "o"),
    "equivalent": (BLUE, "s"),
    "undecided": (GREY, "s"),
    "no_interval": (YELLOW, "^"),
    "insufficient_evidence": (GREY, "D"),
    "only_option": (PURPLE, "v"),
    "out_of_scope": (RED, "X"),
}
MAX_BARS = 12
MAX_PATIENTS = 40  # with a label each
MAX_BANDS = 4  # of curves on the same Axes
MAX_CURVES = 3  # calibration curves with bands that are legible on the same Axes


def intervals_of(level: float, *, any_finite: bool = True) -> str:
    """Return "95% intervals", or that there are none."""
    return f"{100 * level:g}% intervals" if any_finite else "without intervals"


def estimates(
    table: pd.DataFrame, *, reference: float | None, xlabel: str, ax: Any = None, **kwargs: Any
) -> Any:
    """Draw rows (index: label; columns value, lower, upper) as points with intervals, first on top."""
    table = table[::-1]
    ax = rows_axes(ax, list(table.index), xlabel=xlabel)
    if reference is not None:
        ax.axvline(reference, color=GREY, linestyle="--", linewidth=1)
    _points(ax, table, np.arange(len(table)), kwargs)
    ax.ticklabel_format(axis="x", useOffset=False)
    return ax


def _points(ax: Any, table: pd.DataFrame, rows: np.ndarray, kwargs: Mapping[str, Any], **base: Any) -> None:
    """Draw points and, behind them and in their color, intervals."""
    base = {"marker": "o", "linestyle": "none", "color": BLUE, "zorder": 3, **base}
    (points,) = ax.plot(table["value"], rows, **style(kwargs, **base))
    bars = {"color": points.get_color(), "linewidth": 1.8 if points.get_markersize() > 4 else 0.4}
    finite = table["lower"].notna() & table["upper"].notna()
    ax.hlines(rows[finite], table["lower"][finite], table["upper"][finite], **bars)


def by_arm_intervals(
    value: pd.Series,
    lower: pd.Series,
    upper: pd.Series,
    *,
    xlabel: str,
    interval: str,
    ax: Any = None,
    **kwargs: Any,
) -> Any:
    """Draw one probability with its interval per arm, the highest on top; `interval` names the intervals."""
    order = value.sort_values(ascending=False, kind="stable").index
    table = pd.DataFrame({"value": value, "lower": lower, "upper": upper}).loc[order]
    ax = estimates(table, reference=None, xlabel=xlabel, ax=ax, **kwargs)
    ax.set_xlim(-0.01, 1.01)  # points at 0 and 1 are drawn in full
    if lower.notna().any():
        ax.collections[-1].set_label(interval)
        add_legend(ax)
    return ax


def differences(table: pd.DataFrame, ax: Any = None, *, of: str, xlabel: str, **kwargs: Any) -> Any:
    """Draw each patient's difference with its interval, largest on top, with color and marker by status.

    `of`: the column of the differences; with ``_lower`` and ``_upper`` added, those of the interval.
    """
    table = table.sort_values(of, kind="stable")
    names = {of: "value", f"{of}_lower": "lower", f"{of}_upper": "upper"}
    bounds = table[list(names)].rename(columns=names).astype("float64")
    few = len(table) <= MAX_PATIENTS
    if few:
        pairs = zip(table.index, table["arm"].fillna("no arm"), strict=True)
        ax = rows_axes(ax, [f"{patient}: {arm}" for patient, arm in pairs], xlabel=xlabel, extra=0.6)
    else:
        ax = new_axes(ax, width=7, height=6)
        hide_frame(ax)
        ax.set(yticks=[], ylim=(-0.02 * len(table), 1.02 * len(table)))
        label_axes(ax, xlabel=xlabel, ylabel=f"{len(table):,} patients, by {of}")
    rows = np.arange(len(table))
    for status, (color, marker) in STATUS_STYLES.items():
        mine = (table["status"] == status).to_numpy()
        if mine.any():
            label = f"{status.replace('_', ' ')} ({int(mine.sum())})"
            base = {"color": color, "marker": marker, "markersize": 6 if few else 2.5, "label": label}
            _points(ax, bounds[mine], rows[mine], kwargs, **base)
    ax.axvline(0, color=GREY, linewidth=1)
    add_legend(ax)
    return ax


def attributions(
    values: pd.Series,
    *,
    labels: Mapping[str, str],
    xlabel: str,
    signed: bool = True,
    ax: Any = None,
    **kwargs: Any,
) -> Any:
    """Draw one bar per covariate, largest first; the smaller ones are added up in one bar.

    Signed values are green above and orange below 0; sizes have one color.
    """
    order = values.abs().sort_values(ascending=False, kind="stable").index
    shown = values[order[:MAX_BARS]]
    if len(order) > MAX_BARS:
        rest = values[order[MAX_BARS:]]
        shown = pd.concat([shown, pd.Series({f"{len(rest)} others": rest.sum()})])
    shown = shown[::-1]
    ax = rows_axes(ax, [labels.get(name, name) for name in shown.index], xlabel=xlabel, extra=0.3)
    colors = [GREEN if value >= 0 else RED for value in shown] if signed else BLUE
    ax.barh(np.arange(len(shown)), shown, **style(kwargs, "bar", color=colors))
    ax.axvline(0, color=GREY, linewidth=1)
    ax.ticklabel_format(axis="x", useOffset=False)
    return ax


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    by: str,
    xlabel: str,
    ylabel: str,
    reference: float | None = None,
    band: str = "",
    note: str = "",
    ax: Any = None,
    **kwargs: Any,
) -> Any:
    """Draw one line per value of column `by` over `x`: columns value and, for a band, lower, upper.

    `band` names the bands, which are left out if there are too many to be legible.
    """
    names = [wrapped(name, 60) for name in table[by].unique()]
    several = len(names) > 1
    n_bands = table.loc[table["lower"].notna(), by].nunique() if "lower" in table else 0
    if band:
        reason = ", which would overlap" if n_bands > MAX_BANDS else ""
        ylabel += f" ({band})" if 0 < n_bands <= MAX_BANDS else f" (without intervals{reason})"
    height = 4.2 + (legend_height(names, 6.0) if several else 0)
    ax = new_axes(ax, width=7, height=height)
    if reference is not None:
        ax.axhline(reference, color=GREY, linestyle="--", linewidth=1)
    for number, (name, rows) in enumerate(table.groupby(by, sort=False)):
        base = _line_style(number) | {"linewidth": 1.8}
        (line,) = ax.plot(rows[x], rows["value"], **style(kwargs, label=wrapped(name, 60), **base))
        if n_bands <= MAX_BANDS and "lower" in rows and rows["lower"].notna().any():
            shade = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
            ax.fill_between(rows[x], rows["lower"], rows["upper"], **shade)
    spread_ticks(ax)
    label_axes(ax, xlabel=xlabel, ylabel=ylabel, note=note)
    hide_frame(ax)
    if several or "label" in kwargs:
        add_legend(ax)
    return ax


def _line_style(number: int) -> dict[str, Any]:
    """Return color and dashes of a curve."""
    dashes = LINES[number // len(PALETTE) % len(LINES)]
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": dashes}


def calibration(curve: Any, ax: Any = None, **kwargs: Any) -> Any:
    """Draw curve, band and groups of each arm; more than three arms in panels, or without bands on `ax`."""
    arms = list(curve.table["arm"].unique())
    if ax is None and len(arms) > MAX_CURVES:
        return calibration_panels(curve, new_figure, **kwargs)
    several = len(arms) > 1
    ax = new_axes(ax, width=5.5, height=5.8 + (legend_height(arms, 4.5) + 0.5 if several else 0))
    _diagonal(ax)
    for number, arm in enumerate(arms):
        named = {"label": wrapped(arm, 60)} if several else {}
        line = style(kwargs, **named, **_line_style(number))
        _calibration_of(ax, curve, arm, line, bands=len(arms) <= MAX_CURVES)
    shown = f"band (pointwise) and bars: {intervals_of(curve.level)}"
    shown = shown if len(arms) <= MAX_CURVES else "without intervals, which would overlap"
    label_axes(ax, xlabel="Predicted probability", ylabel="Observed proportion")
    add_legend(ax, note=f"dashed: perfect calibration; {shown}")
    return ax


def calibration_panels(curve: Any, figure: Any, **kwargs: Any) -> Any:
    """Draw one small calibration plot per arm, three to a row; return the first Axes.

    `figure` is the function that makes the figure: `axes.new_figure` or `axes.bare_figure`.
    """
    arms = list(curve.fits["arm"]) if "arm" in curve.fits else list(curve.fits.index)
    n_rows, n_columns = -(-len(arms) // 3), min(3, len(arms))
    whole = figure(width=3 * n_columns + 0.4, height=3.3 * n_rows + 0.6)
    grid = whole.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    for ax, arm in zip(grid, arms, strict=False):
        _diagonal(ax)
        _calibration_of(ax, curve, arm, style(kwargs, color=BLUE))
        ax.set_title(wrapped(arm, 34), fontsize=10)
        ax.tick_params(labelbottom=True)
    for ax in grid[len(arms) :]:
        ax.set_axis_off()
    about = f"dashed: perfect calibration; band and bars: {intervals_of(curve.level)}"
    whole.supxlabel(wrapped(f"Predicted probability\n{about}", 36 * n_columns), fontsize=10)
    whole.supylabel("Observed proportion", fontsize=10)
    return grid[0]


def _diagonal(ax: Any) -> None:
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    hide_frame(ax)


def _calibration_of(
    ax: Any, curve: Any, arm: Any, line_style: Mapping[str, Any], *, bands: bool = True
) -> None:
    line = curve.table[curve.table["arm"] == arm]
    (drawn,) = ax.plot(line["predicted"], line["observed"], **line_style)
    if not bands:
        return
    color = drawn.get_color()
    ax.fill_between(line["predicted"], line["lower"], line["upper"], color=color, alpha=0.15, linewidth=0)
    points = curve.groups[curve.groups["arm"] == arm]
    ax.vlines(points["predicted"], points["lower"], points["upper"], color=color, linewidth=1.2)
    ax.plot(points["predicted"], points["observed"], "o", color=color, markersize=4)


def benefit_groups(
    table: pd.DataFrame, *, intercept: float, slope: float, level: float, ax: Any = None, **kwargs: Any
) -> Any:
    """Draw observed against predicted benefit by group, the fitted line, and the ideal (dashed)."""
    ax = new_axes(ax, width=5.5, height=5.5)
    x = table["predicted"].to_numpy()
    ax.axline((0, 0), slope=1, color=GREY, linestyle="--", linewidth=1)
    ax.axhline(0, color=GREY, linewidth=0.5)
    base: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": BLUE, "markersize": 5}
    (points,) = ax.plot(x, table["observed"], **style(kwargs, **base))
    ax.vlines(x, table["lower"], table["upper"], color=points.get_color(), linewidth=1.2)
    if np.isfinite(slope):
        ends = np.array([x.min(), x.max()])
        ax.plot(ends, intercept + slope * ends, color=points.get_color())
    spread_ticks(ax)
    label_axes(
        ax,
        xlabel="Predicted benefit",
        ylabel="Observed benefit (doubly robust)",
    )
    hide_frame(ax)
    about = "difference in probability; dashed: perfect calibration"
    add_legend(ax, note=f"{about}; bars: {intervals_of(level)}")
    return ax


def to_svg(ax: Any, *, name: str) -> str:
    """Return the figure of `ax` as an SVG element with unique ids that are the same in each run."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        canvas: Any = FigureCanvasSVG(ax.figure)
        canvas.print_svg(stream, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    width = float(ax.figure.get_size_inches()[0])
    opening, rest = text.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return f'{opening} style="max-width:{width * 100:.0f}px">{rest}'
