"""Summaries of results: one line for `repr`, and a small HTML table for notebooks.

A summary never shows rows of patients, ids, arrays or values of single patients; small counts are not shown
(see `_disclosure`). The HTML needs no script or style sheet and sets no colors, so that it is legible in
light and in dark notebooks.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from html import escape
from numbers import Integral, Real
from typing import Any

from treatsel._disclosure import SMALLEST_GROUP, is_small
from treatsel._reporting.format import DASH, number
from treatsel._reporting.text import in_one_line

MAX_ROWS = 8  # rows of the table that are shown
MAX_FACTS = 12
MAX_TEXT = 160  # characters of a value or a cell
MAX_HEADLINE = 400
_LINE_FACTS = 4  # facts in one line of text
_COUNTS = ("n", "n_events", "n_discordant", "n_outcomes", "n_concordant", "n_patients", "n_observed")
_LABELS = {"n": "patients", "n_events": "events"}
_LABEL_FIELDS = ("arms", "failures")  # tuples of labels that are not of patients
_CELL = "text-align:left;vertical-align:top;padding:0.15em 1em 0.15em 0"
_HEAD = f"{_CELL};border-bottom:1px solid;font-weight:bold"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a reader wants to see first.

    `title` is the kind of result; `headline` its main number or sentence; `facts` are pairs of label and
    text; `rows` a small table of texts under `columns`, of which the first `MAX_ROWS` are shown; `note` says
    what to do next.
    """

    title: str
    headline: str = ""
    facts: Sequence[tuple[str, str]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""


class Summarized:
    """A result with a short `repr`, and with HTML for notebooks."""

    def _summary(self) -> Summary:
        return summary_of_fields(self)

    def __repr__(self) -> str:
        """Return a summary in one line, without data of single patients."""
        return to_text(self._summary())

    def _repr_html_(self) -> str:
        return to_html(self._summary())


def summary_of_fields(result: Any) -> Summary:
    """Return the summary of a dataclass: its numbers and estimates; of tables and arrays the size alone."""
    main = estimate_text(result)
    hidden = ("value", "lower", "upper", "level", *(["se"] if reveals_count(result) else [])) if main else ()
    facts = [
        (_LABELS.get(each.name, each.name.rstrip("_").replace("_", " ")), shown)
        for each in fields(result)
        if each.repr and each.name not in hidden
        if (shown := _shown(each.name, getattr(result, each.name), result)) is not None
    ]
    return Summary(title=type(result).__name__, headline=main, facts=facts)


def estimate_text(estimate: Any, digits: int = 3) -> str:
    """Return value and interval of an estimate as text; "" for something else, or if it is disclosive."""
    parts: list[Any] = [getattr(estimate, name, None) for name in ("value", "lower", "upper", "level")]
    if any(part is None for part in parts):
        return ""
    value, lower, upper, level = map(float, parts)
    if reveals_count(estimate):
        return "based on a small count (see .value)"
    if value != value:
        method = str(getattr(estimate, "method", ""))
        return method if method.startswith("not estimable") else "not estimable"
    text = _number(value, digits)
    if lower != lower:
        return text
    bounds = f"{_number(lower, digits)} to {_number(upper, digits)}"
    return f"{text} ({100 * level:g}% interval {bounds})"


def reveals_count(estimate: Any) -> bool:
    """Whether an estimate rests on a small group, or is a proportion that gives a small count away."""
    counts: list[Any] = [getattr(estimate, name, None) for name in ("n", "n_events")]
    n, events = (float("nan") if each is None else float(each) for each in counts)
    if is_small(n):
        return True
    if not is_small(events) and not is_small(n - events):
        return False
    return any(math.isclose(estimate.value, share, abs_tol=1e-9) for share in (events / n, 1 - events / n))


def count_text(n: Any) -> str:
    """Return a number of patients as text; a small one is not shown."""
    if n is None or n != n:
        return "not shown"
    return f"fewer than {SMALLEST_GROUP}" if is_small(n) else f"{int(n):,}"


def some_of(names: Sequence[Any], most: int = 8) -> str:
    """Return the first names of a list, and how many more there are."""
    shown = ", ".join(_short(name, 40) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def to_text(summary: Summary) -> str:
    """Return a summary in one line."""
    facts = [f"{name}: {value}" for name, value in summary.facts[:_LINE_FACTS]]
    parts = [summary.headline, *facts] if summary.headline else facts
    line = " ".join("; ".join(part for part in parts if part).split())
    return f"{summary.title}({_short(line, MAX_HEADLINE)})"


def to_html(summary: Summary) -> str:
    """Return a summary as a fragment of HTML; every text is escaped."""
    return "\n".join(_html_lines(summary))


def retitled(summary: Summary, title: str) -> Summary:
    """Return a summary of the same content under another title."""
    return replace(summary, title=title)


def _html_lines(summary: Summary) -> Iterator[str]:
    yield '<div class="treatsel" style="max-width:56em;overflow-x:auto">'
    yield f"<strong>{escape(summary.title)}</strong>"
    if summary.headline:
        yield f'<p style="margin:0.3em 0">{escape(_short(summary.headline, MAX_HEADLINE))}</p>'
    if summary.facts:
        yield '<table style="border-collapse:collapse;margin:0.3em 0">'
        for name, value in summary.facts[:MAX_FACTS]:
            head = f'<th scope="row" style="{_CELL};font-weight:normal">{escape(_short(name, 60))}</th>'
            yield f'<tr>{head}<td style="{_CELL}">{escape(_short(value, MAX_TEXT))}</td></tr>'
        yield "</table>"
    if summary.rows:
        yield '<table style="border-collapse:collapse;margin:0.3em 0">'
        heads = "".join(
            f'<th style="{_HEAD}">{escape(in_one_line(str(name)))}</th>' for name in summary.columns
        )
        yield f"<tr>{heads}</tr>"
        for row in summary.rows[:MAX_ROWS]:
            cells = "".join(f'<td style="{_CELL}">{escape(_short(cell, MAX_TEXT))}</td>' for cell in row)
            yield f"<tr>{cells}</tr>"
        yield "</table>"
    more = len(summary.rows) - MAX_ROWS
    note = f"{f'Not shown here: {more}. ' if more > 0 else ''}{summary.note}".strip()
    if note:
        yield f'<p style="margin:0.3em 0;font-size:90%">{escape(_short(note, MAX_HEADLINE))}</p>'
    yield "</div>"


def _shown(name: str, value: Any, result: Any) -> str | None:
    """Return the value of a field as text; None to leave it out."""
    if value is None or value is result or (isinstance(value, Real) and value != value):
        return None
    if isinstance(value, Summarized) or is_dataclass(value):
        return estimate_text(value) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return _count(name, int(value), result)
    if isinstance(value, Real):
        return _number(float(value))
    if isinstance(value, str):
        return value
    if name in _LABEL_FIELDS and isinstance(value, tuple):
        return some_of(value) or None
    if len(shape := getattr(value, "shape", ())) > 1:
        return f"table of {' x '.join(f'{size:,}' for size in shape)}"
    return f"{len(value):,} values" if hasattr(value, "__len__") else None


def _count(name: str, value: int, result: Any) -> str:
    """Return an integer; numbers of patients, and what would give a small one away, are not shown."""
    if name not in _COUNTS:
        return f"{value:,}"
    total = getattr(result, "n", None)
    rest = total - value if isinstance(total, Integral) and name != "n" else 0
    return "not shown (small counts)" if is_small(rest) else count_text(value)


def _number(value: Any, digits: int = 3) -> str:
    value = float(value)
    if value != value:
        return DASH
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value:.{digits}g}" if 0 < abs(value) < 0.5 * 10**-digits else number(value, digits)


def _short(value: Any, most: int) -> str:
    text = in_one_line(str(value))
    return text if len(text) <= most else f"{text[: most - 1]}…"
