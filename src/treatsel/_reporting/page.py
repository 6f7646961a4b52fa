"""Pages of text, tables and figures, written as one self-contained HTML file or as Markdown.

The page needs no script, font or other file; figures are inline SVG.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import pandas as pd

from treatsel._reporting.text import in_markdown, visible

FRONT_COLUMNS = ("Question", "Estimate (interval)", "Verdict", "Criterion")


@dataclass(frozen=True)
class Figure:
    """A figure: SVG text, and a description that is its caption and alternative text."""

    svg: str
    description: str


@dataclass(frozen=True, repr=False)
class Table:
    """A table of formatted texts, its caption, and the names of the columns that hold words."""

    frame: pd.DataFrame
    caption: str
    words: Sequence[str] = ()


@dataclass(frozen=True)
class FrontRow:
    """One row of a front table: question, estimate with interval, verdict, and its criterion.

    `verdict` is "good", "unclear", "poor", "unknown" or "cannot tell"; it is shown as text as well as by
    color.
    """

    question: str
    estimate: str
    verdict: str
    criterion: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a page, shown in this order: heading, paragraphs, figures, tables, note."""

    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page.

    `headline` is the main result in one sentence; `front_table` holds the rows of the table below it; `facts`
    are short pairs of label and value; `cautions` are warnings that readers must see.
    """

    title: str
    headline: str
    front_table: Sequence[FrontRow] = ()
    facts: Sequence[tuple[str, str]] = ()
    cautions: Sequence[str] = ()
    sections: Sequence[Section] = field(default=())


def to_html(page: Page) -> str:
    """Return the page as one HTML text."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown_in_html
    )
    template = resources.files("treatsel").joinpath("templates/page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page, front_columns=FRONT_COLUMNS)


def _shown_in_html(value: Any) -> Any:
    """Return a text with hidden characters as codes; pictures are markup already."""
    return visible(value, keep="\n\t") if type(value) is str else value


def to_markdown(page: Page) -> str:
    """Return the page as Markdown, without its figures; all texts are shown as they are, without markup."""
    lines = [f"# {in_markdown(page.title)}", "", f"**{in_markdown(page.headline)}**", ""]
    if page.front_table:
        rows = [(row.question, row.estimate, row.verdict, row.criterion) for row in page.front_table]
        lines += [*_markdown_rows(pd.DataFrame(rows, columns=FRONT_COLUMNS)), ""]
    lines += [f"> {in_markdown(caution)}\n" for caution in page.cautions]
    lines += [f"- {in_markdown(label)}: {in_markdown(value)}" for label, value in page.facts] + [""]
    for section in page.sections:
        lines += [f"## {in_markdown(section.heading)}", ""]
        for paragraph in section.paragraphs:
            lines += [in_markdown(paragraph), ""]
        for table in section.tables:
            lines += [f"*{in_markdown(table.caption)}*", "", *_markdown_rows(table.frame), ""]
        if section.note:
            lines += [f"_{in_markdown(section.note)}_", ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_rows(frame: pd.DataFrame) -> list[str]:
    rows = [[in_markdown(str(name)) for name in frame.columns], ["---"] * len(frame.columns)]
    rows += [[in_markdown(str(value)) for value in row] for row in frame.itertuples(index=False)]
    return [f"| {' | '.join(row)} |" for row in rows]
