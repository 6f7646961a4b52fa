"""Plots of tables; each function returns Axes. The only module that imports matplotlib, inside functions.

pyplot is imported in notebooks only, which show the figures created through it, and used elsewhere if the
user has imported it. The palette of Okabe and Ito (2008) is distinguishable with color vision deficiency.
"""

import io
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

BLUE, GREEN, RED, GREY = "#0072B2", "#009E73", "#D55E00", "#7A7A7A"
PURPLE, YELLOW = "#CC79A7", "#E69F00"
STATUS_COLORS = {
    "supported": GREEN,
    "no_clear_best": BLUE,
    "no_interval": YELLOW,
    "insufficient_evidence": GREY,
    "only_option": PURPLE,
    "out_of_scope": RED,
}
MAX_BARS = 12


def new_axes(ax: Any, *, width: float = 6.0, height: float = 4.0) -> Any:
    """Return `ax`, or new Axes, managed by pyplot in a notebook or if the user has imported it."""
    if ax is not None:
        return ax
    if "ipykernel" in sys.modules:
        import matplotlib.pyplot  # noqa: F401 # a notebook shows only figures that pyplot manages
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return bare_axes(width=width, height=height)
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def bare_axes(*, width: float, height: float) -> Any:
    """Return Axes on a new figure that pyplot does not manage."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def text_of(label: Any) -> str:
    """Return a label as matplotlib shows it unchanged.

    Dollar signs are escaped, as a pair of them would be read as mathematics; a leading underscore, which
    leaves a curve out of the legend, follows a space.
    """
    text = str(label).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _label(text: str, width: int = 56) -> str:
    """Return the label of an axis, wrapped to lines that fit."""
    return "\n".join(textwrap.fill(line, width) for line in text_of(text).splitlines())


def _bare(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)


def diagonal_axes(ax: Any, *, xlabel: str, ylabel: str) -> Any:
    """Return square Axes from 0 to 1 (new if None) with a dashed diagonal."""
    ax = new_axes(ax, width=5, height=5)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=xlabel, ylabel=ylabel)
    _bare(ax)
    return ax


def by_arm_intervals(
    value: pd.Series, lower: pd.Series, upper: pd.Series, *, ax: Any = None, xlabel: str = ""
) -> Any:
    """Draw one point with its interval per arm, best on top."""
    ax = new_axes(ax, height=1.2 + 0.4 * len(value))
    order = value.sort_values().index
    rows = np.arange(len(order))
    ax.hlines(rows, lower[order], upper[order], color=BLUE, linewidth=2)
    ax.plot(value[order], rows, "o", color=BLUE)
    ax.set(yticks=rows, yticklabels=[text_of(arm) for arm in order], xlim=(0, 1), xlabel=_label(xlabel))
    ax.set_ylim(-0.6, len(order) - 0.4)
    _bare(ax)
    return ax


def advantages(table: pd.DataFrame, ax: Any = None, *, level: float = 0.95) -> Any:
    """Draw each patient's advantage with its simultaneous interval, largest on top, colored by status."""
    table = table.sort_values("advantage", kind="stable")
    few = len(table) <= 40
    ax = new_axes(ax, width=7, height=1.6 + 0.28 * len(table) if few else 6)
    rows = np.arange(len(table))
    for status, color in STATUS_COLORS.items():
        mine = (table["status"] == status).to_numpy()
        if mine.any():
            part = table[mine]
            ax.hlines(
                rows[mine], part["advantage_lower"], part["advantage_upper"], color=color, linewidth=1.5
            )
            label = f"{status.replace('_', ' ')} ({int(mine.sum())})"
            ax.plot(part["advantage"], rows[mine], "o", color=color, markersize=5 if few else 2, label=label)
    ax.axvline(0, color=GREY, linewidth=1)
    if few:
        pairs = zip(table.index, table["arm"].fillna("no arm"), strict=True)
        ax.set(yticks=rows, yticklabels=[text_of(f"{patient}: {arm}") for patient, arm in pairs])
    else:
        ax.set(yticks=[], ylabel="Patients")
    ax.set_xlabel(f"Advantage of the top arm over the best other arm ({level:.0%} simultaneous interval)")
    ax.set_ylim(-0.8, len(table) - 0.2)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18 if few else -0.1), ncols=2, frameon=False)
    _bare(ax)
    return ax


def attributions(values: pd.Series, *, labels: Mapping[str, str], xlabel: str, ax: Any = None) -> Any:
    """Draw one bar per covariate, largest first; the smaller ones are added up in one bar."""
    order = values.abs().sort_values(ascending=False, kind="stable").index
    shown = values[order[:MAX_BARS]]
    if len(order) > MAX_BARS:
        rest = values[order[MAX_BARS:]]
        shown = pd.concat([shown, pd.Series({f"{len(rest)} others": rest.sum()})])
    shown = shown[::-1]
    ax = new_axes(ax, width=7, height=1.4 + 0.32 * len(shown))
    rows = np.arange(len(shown))
    ax.barh(rows, shown, color=[GREEN if value >= 0 else RED for value in shown])
    ax.axvline(0, color=GREY, linewidth=1)
    names = [text_of(labels.get(name, name)) for name in shown.index]
    ax.set(yticks=rows, yticklabels=names, xlabel=text_of(xlabel))
    _bare(ax)
    return ax


def estimates(table: pd.DataFrame, *, reference: float | None, xlabel: str, ax: Any = None) -> Any:
    """Draw rows (index: label; columns value, lower, upper) as points with intervals, first on top."""
    table = table[::-1]
    ax = new_axes(ax, width=7, height=1.2 + 0.36 * len(table))
    rows = np.arange(len(table))
    if reference is not None:
        ax.axvline(reference, color=GREY, linestyle="--", linewidth=1)
    ax.hlines(rows, table["lower"], table["upper"], color=BLUE, linewidth=2)
    ax.plot(table["value"], rows, "o", color=BLUE)
    ax.set(yticks=rows, yticklabels=[text_of(label) for label in table.index], xlabel=_label(xlabel))
    ax.set_ylim(-0.6, len(table) - 0.4)
    _bare(ax)
    return ax


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    by: str,
    xlabel: str,
    ylabel: str,
    reference: float | None = None,
    ax: Any = None,
) -> Any:
    """Draw one line per value of column `by` over `x`: columns value and, for a band, lower, upper."""
    ax = new_axes(ax, width=7, height=4.2)
    if reference is not None:
        ax.axhline(reference, color=GREY, linestyle="--", linewidth=1)
    for name, rows in table.groupby(by, sort=False):
        (line,) = ax.plot(rows[x], rows["value"], label=text_of(name), linewidth=1.8)
        if {"lower", "upper"} <= set(rows) and rows["lower"].notna().any():
            shade = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
            ax.fill_between(rows[x], rows["lower"], rows["upper"], **shade)
    ax.set(xlabel=_label(xlabel), ylabel=_label(ylabel, 44))
    if len(table[by].unique()) > 1:
        ax.legend(frameon=False)
    _bare(ax)
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


def calibration_panels(curve: Any) -> Any:
    """Draw one small calibration plot per arm, three to a row; return the first Axes."""
    from matplotlib.figure import Figure

    arms = list(curve.fits["arm"]) if "arm" in curve.fits else list(curve.fits.index)
    n_rows = -(-len(arms) // 3)
    figure = Figure(figsize=(9, 3.2 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, min(3, len(arms)), squeeze=False, sharex=True, sharey=True).ravel()
    for ax, arm in zip(grid, arms, strict=False):
        diagonal_axes(ax, xlabel="", ylabel="")
        line = curve.table[curve.table["arm"] == arm]
        ax.plot(line["predicted"], line["observed"], color=BLUE)
        ax.fill_between(line["predicted"], line["lower"], line["upper"], color=BLUE, alpha=0.15, linewidth=0)
        points = curve.groups[curve.groups["arm"] == arm]
        ax.vlines(points["predicted"], points["lower"], points["upper"], color=BLUE, linewidth=1)
        ax.plot(points["predicted"], points["observed"], "o", color=BLUE, markersize=3)
        ax.set_title(text_of(arm), fontsize=10)
    for ax in grid[len(arms) :]:
        ax.set_axis_off()
    figure.supxlabel("Predicted probability", fontsize=10)
    figure.supylabel("Observed proportion", fontsize=10)
    return grid[0]
