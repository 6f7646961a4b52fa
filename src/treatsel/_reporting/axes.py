"""Axes, labels, legends and styles of plots; the only module that imports pyplot, inside a function.

pyplot is imported in notebooks only, which show the figures created through it, and used elsewhere if the
user has imported it.
"""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from treatsel._reporting.text import visible

# Okabe & Ito (2008), distinguishable with color vision deficiency; without yellow, too pale for lines
BLUE, GREEN, RED, GREY = "#0072B2", "#009E73", "#D55E00", "#7A7A7A"
PURPLE, YELLOW = "#CC79A7", "#E69F00"
PALETTE = (BLUE, RED, GREEN, PURPLE, "#56B4E9", YELLOW, "#000000")
LINES = ("-", "--", ":")  # each is used with all colors before the next: 21 curves differ
LABEL_WIDTH = 40  # characters of a line of a row's label
TEXT = 10.0  # points
_SMALLEST = 5.0  # points; smaller labels are not legible, so some are left out instead
_CHARACTER, _LINE = 0.55, 1.25  # mean width of a character, and distance of lines, in sizes of the font


def new_axes(ax: Any, *, width: float = 6.0, height: float = 4.0) -> Any:
    """Return `ax`, or new Axes.

    Parameters
    ----------
    ax : matplotlib Axes, None or function
        None: new Axes, managed by pyplot in a notebook or if the user has imported it. A function, such as
        `bare_axes`, makes Axes of a width and a height.
    width, height : float
        Size of a new figure in inches.
    """
    if callable(ax):
        return ax(width=width, height=height)
    if ax is not None:
        return ax
    return new_figure(width=width, height=height).add_subplot()


def new_figure(*, width: float, height: float) -> Any:
    """Return a new figure, managed by pyplot in a notebook or if the user has imported it."""
    if "ipykernel" in sys.modules:
        import matplotlib.pyplot  # noqa: F401 # a notebook shows only figures that pyplot manages
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return bare_figure(width=width, height=height)
    return pyplot.figure(figsize=(width, height), layout="constrained")


def bare_figure(*, width: float, height: float) -> Any:
    """Return a new figure that pyplot does not manage."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def bare_axes(*, width: float, height: float) -> Any:
    """Return Axes on a new figure that pyplot does not manage."""
    return bare_figure(width=width, height=height).add_subplot()


def text_of(label: Any) -> str:
    """Return a label as matplotlib shows it unchanged.

    Dollar signs are escaped, as a pair of them would be read as mathematics; a leading underscore, which
    leaves a curve out of the legend, follows a space.
    """
    text = visible(str(label), keep="\n").replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def wrapped(label: Any, width: int = LABEL_WIDTH) -> str:
    """Return a label wrapped to lines that fit; long words are broken."""
    text = "" if label is None else str(label)
    return text_of("\n".join(textwrap.fill(line, max(width, 8)) for line in text.splitlines()))


def label_axes(ax: Any, *, xlabel: str, ylabel: str = "", note: str = "") -> None:
    """Set the labels of both axes, wrapped to the size of the Axes, and a note below.

    If their figure makes no room for them, labels become smaller until they fit into its margin, and the
    note becomes the title.
    """
    width, height = _size(ax)
    room = _makes_room(ax.figure)
    below = f"{xlabel}\n{note}" if note and room else xlabel
    texts = [
        wrapped(below, min(64, int(width / (TEXT * _CHARACTER)))),
        wrapped(ylabel, min(56, int(height / (TEXT * _CHARACTER)))),
    ]
    lines, box = [_most_lines([text]) for text in texts], ax.get_window_extent()
    margins = [space * 72 / ax.figure.dpi - 2 * TEXT for space in (box.y0, box.x0 - TEXT)]
    if room:
        alone = len(ax.figure.axes) == 1
        margins = [TEXT * _LINE * (n if alone else 3) for n in lines]
    sizes = [max(6.0, min(TEXT, space / (n * _LINE))) for space, n in zip(margins, lines, strict=True)]
    ax.set_xlabel(texts[0], fontsize=sizes[0])
    ax.set_ylabel(texts[1], fontsize=sizes[1])
    if note and not room and not ax.get_title():
        ax.set_title(wrapped(note, int(width / (0.8 * TEXT * _CHARACTER))), fontsize=0.8 * TEXT)


def few_ticks(axis: Any, length: float) -> None:
    """Leave room between the numbers of an axis of a given length in points."""
    from matplotlib.ticker import MaxNLocator

    n = int(min(7, max(2, length // 48)))
    axis.set_major_locator(MaxNLocator(nbins=n, steps=[1, 2, 2.5, 5, 10]))


def spread_ticks(ax: Any) -> None:
    """Leave room between the numbers of both axes, and show them without an offset."""
    width, height = _size(ax)
    few_ticks(ax.xaxis, width)
    few_ticks(ax.yaxis, height)
    ax.ticklabel_format(useOffset=False)


def hide_frame(ax: Any) -> None:
    """Hide the upper and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)


def rows_axes(ax: Any, labels: Sequence[Any], *, xlabel: str, extra: float = 0.0) -> Any:
    """Return Axes with one labeled row per label, the first at the bottom.

    New Axes have the size that the labels need, and `extra` inches. On existing Axes, labels are shortened
    and become smaller until they fit; if they would not be legible, some are left out.
    """
    if ax is None or callable(ax):
        names, size = [wrapped(label) for label in labels], TEXT
        ax = _axes_for(ax, names, xlabel, extra)
    else:
        names, size = _names_for(ax, labels)
        label_axes(ax, xlabel=xlabel)
    ax.set_yticks(range(len(names)), names, fontsize=size)
    ax.set_ylim(-0.6, len(names) - 0.4)
    few_ticks(ax.xaxis, _size(ax)[0] * 0.8)
    hide_frame(ax)
    return ax


def _axes_for(ax: Any, names: Sequence[str], xlabel: str, extra: float) -> Any:
    """Return new Axes of the size that the labels of rows and of the axis below need."""
    longest = max((len(line) for name in names for line in name.splitlines()), default=0)
    beside = longest * TEXT * _CHARACTER / 72
    width = max(6.0, 4.2 + beside)
    below = wrapped(xlabel, int((width - beside - 0.4) * 72 / (TEXT * _CHARACTER)))
    row = 0.16 + _most_lines(names) * TEXT * _LINE / 72
    ax = new_axes(ax, width=width, height=0.8 + 0.17 * _most_lines([below]) + extra + row * len(names))
    ax.set_xlabel(below)
    return ax


def _names_for(ax: Any, labels: Sequence[Any]) -> tuple[list[str], float]:
    """Return labels that fit into the height of existing Axes, and their size."""
    height = _size(ax)[1] * (0.7 if _makes_room(ax.figure) else 1)  # what the layout will leave
    texts = [str(label) for label in labels]
    for most, width in ((44, 24), (28, 28)):  # on two lines if they are then legible
        names = [wrapped(textwrap.shorten(text, most, placeholder="…"), width) for text in texts]
        room = height / max(len(names), 1) / (_most_lines(names) * _LINE)
        if room >= _SMALLEST + 1:
            break
    size = max(_SMALLEST, min(TEXT, room))
    every = max(1, -int(-size // room))
    return [name if i % every == 0 else "" for i, name in enumerate(names)], size


def _most_lines(texts: Sequence[str]) -> int:
    return max((text.count("\n") + 1 for text in texts), default=1)


def style(given: Mapping[str, Any], kind: str = "line", **defaults: Any) -> dict[str, Any]:
    """Return the keyword arguments of an artist: those given by the user, else defaults.

    Aliases are resolved (``lw`` is ``linewidth``); unknown keywords are left to matplotlib's own error.
    """
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    return {**defaults, **normalize_kwargs(dict(given), Line2D if kind == "line" else Rectangle)}


def legend_height(labels: Sequence[Any], width: float) -> float:
    """Return the height in inches of a legend above new Axes of a width in inches."""
    lines = max((wrapped(label, 60).count("\n") + 1 for label in labels), default=1)
    return -(-len(labels) // _columns(labels, width)) * lines * TEXT * 1.6 / 72


def add_legend(ax: Any, *, note: str = "") -> None:
    """Add a legend above the Axes if their figure makes room for it, else where it hides least.

    On Axes that are too small for it, labels are shortened and become smaller. A note is the title of the
    legend, or of the Axes if nothing needs a legend.
    """
    handles, names = ax.get_legend_handles_labels()
    note = wrapped(note, int(_size(ax)[0] / (0.8 * TEXT * _CHARACTER))) if note else ""
    if not names:
        if note and not ax.get_title():
            ax.set_title(note, fontsize=0.8 * TEXT)
        return
    about = {"title": note or None, "title_fontsize": 0.8 * TEXT, "alignment": "left", "frameon": False}
    width, height = _size(ax)
    names = ["\n".join(textwrap.fill(line, 60) for line in name.splitlines()) for name in names]
    columns = _columns(names, width / 72)
    lines = -(-len(names) // columns) * _most_lines(names)
    alone = len(ax.figure.axes) == 1
    most = 0.6 * ax.figure.get_figheight() * 72 - 72 if alone else 0.3 * height
    if _makes_room(ax.figure) and lines * TEXT * _LINE < most:
        # the distance leaves room for the exponent of very small values
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 1.2}
        ax.legend(handles, names, ncols=columns, fontsize=TEXT, **place, **about)
        return
    height *= 0.6 if _makes_room(ax.figure) else 0.9
    size = max(_SMALLEST, min(0.9 * TEXT, height / (len(names) * 1.6)))
    longest = max(8, int(width / (size * _CHARACTER)) - 8)
    names = [textwrap.shorten(name, longest, placeholder="…") for name in names]
    ax.legend(handles, names, loc="best", fontsize=size, **about)


def _makes_room(figure: Any) -> bool:
    """Whether a figure makes room for labels and legends outside of its Axes."""
    return "Constrained" in type(figure.get_layout_engine()).__name__


def _columns(labels: Sequence[Any], width: float) -> int:
    """Return how many columns of a legend fit into a width in inches."""
    longest = max((len(line) for each in labels for line in wrapped(each, 60).splitlines()), default=0)
    return max(1, min(3, len(labels), int(width * 72 / ((longest + 6) * TEXT * _CHARACTER))))


def _size(ax: Any) -> tuple[float, float]:
    """Return width and height of Axes in points."""
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi
