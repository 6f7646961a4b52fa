"""Plots of the refits of a model: bands of predictions and of calibration curves.

As in `plots`, each function has `ax`, and passes further keyword arguments to its lines.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd

from treatsel._reporting.axes import (
    BLUE,
    GREY,
    add_legend,
    hide_frame,
    label_axes,
    new_axes,
    new_figure,
    style,
    wrapped,
)

TICKS = [0, 0.25, 0.5, 0.75, 1]
ABOUT = "line: the model; band: 2.5th to 97.5th percentile of its refits"


def prediction_bands(
    table: pd.DataFrame, ax: Any = None, *, figure: Callable[..., Any] = new_figure, **kwargs: Any
) -> Any:
    """Draw the predictions of refits against those of the model: columns arm, original, lower, upper.

    One panel per arm, three to a row; with `ax`, the first arm on it alone. `figure` makes the figure.
    """
    arms = list(table["arm"].unique())
    if ax is not None:
        arms, axes, whole = arms[:1], [ax], None
    else:
        n_rows, n_columns = -(-len(arms) // 3), min(3, len(arms))
        whole = figure(width=3 * n_columns + 0.4, height=3.3 * n_rows + 0.6)
        axes = whole.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    for each, arm in zip(axes, arms, strict=False):
        rows = table[table["arm"] == arm]
        _square(each)
        _band(each, rows["original"], rows["original"], rows, kwargs)
        each.set_title(wrapped(arm, 34), fontsize=10)
        each.tick_params(labelbottom=True)
    for each in axes[len(arms) :]:
        each.set_axis_off()
    if whole is None:
        label_axes(ax, xlabel="Prediction of the model", ylabel="Predictions of refits", note=ABOUT)
    else:
        whole.supxlabel(wrapped(f"Prediction of the model\n{ABOUT}", 36 * n_columns), fontsize=10)
        whole.supylabel("Predictions of refits", fontsize=10)
    return axes[0]


def calibration_band(table: pd.DataFrame, ax: Any = None, **kwargs: Any) -> Any:
    """Draw the calibration curve of the model and the band of those of its refits.

    Columns predicted, original, lower, upper.
    """
    ax = new_axes(ax, width=5.5, height=5.8)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    _square(ax)
    _band(ax, table["predicted"], table["original"], table, kwargs)
    label_axes(ax, xlabel="Predicted probability", ylabel="Observed proportion")
    add_legend(ax, note=f"dashed: perfect calibration; {ABOUT}")
    return ax


def _band(ax: Any, x: pd.Series, y: pd.Series, table: pd.DataFrame, kwargs: dict[str, Any]) -> None:
    (line,) = ax.plot(x, y, **style(kwargs, color=BLUE, linewidth=1.8))
    color = line.get_color()
    ax.fill_between(x, table["lower"], table["upper"], color=color, alpha=0.2, linewidth=0)


def _square(ax: Any) -> None:
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    hide_frame(ax)
