"""Sections of text, tables and pictures in; one self-contained HTML page or Markdown text out.

The page needs no script, no font and no file from elsewhere; pictures are inline SVG.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

import pandas as pd

LIGHT_COLUMNS = ("Question", "Figure (interval)", "Verdict", "How the verdict is made")


@dataclass(frozen=True)
class Figure:
    """A picture: SVG text, and what it shows for those who cannot see it."""

    svg: str
    description: str


@dataclass(frozen=True)
class Table:
    """A table of texts that are ready to be read, its caption, and the columns that hold words."""

    frame: pd.DataFrame
    caption: str
    words: Sequence[str] = ()


@dataclass(frozen=True)
class FrontRow:
    """One row of a front table: question, figure with interval, verdict, and what the verdict means.

    `verdict` is "good", "unclear", "poor" or "unknown"; it is written out, not only coloured.
    """

    question: str
    figure: str
    verdict: str
    meaning: str


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

    `headline` is the one sentence to read; `lights` the front table; `facts` are short label and value
    pairs below it; `cautions` are what a reader must not overlook.
    """

    title: str
    headline: str
    lights: Sequence[FrontRow] = ()
    facts: Sequence[tuple[str, str]] = ()
    cautions: Sequence[str] = ()
    sections: Sequence[Section] = field(default=())


def to_html(page: Page) -> str:
    """Return the page as one HTML text."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = resources.files("treatsel").joinpath("templates/page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page, light_columns=LIGHT_COLUMNS)


def to_markdown(page: Page) -> str:
    """Return the page as Markdown, without its pictures."""
    lines = [f"# {page.title}", "", f"**{page.headline}**", ""]
    if page.lights:
        rows = [(light.question, light.figure, light.verdict, light.meaning) for light in page.lights]
        lines += [*_markdown_rows(pd.DataFrame(rows, columns=LIGHT_COLUMNS)), ""]
    lines += [f"> {caution}\n" for caution in page.cautions]
    lines += [f"- {label}: {value}" for label, value in page.facts] + [""]
    for section in page.sections:
        lines += [f"## {section.heading}", ""]
        for paragraph in section.paragraphs:
            lines += [paragraph, ""]
        for table in section.tables:
            lines += [f"*{table.caption}*", "", *_markdown_rows(table.frame), ""]
        if section.note:
            lines += [f"_{section.note}_", ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_rows(frame: pd.DataFrame) -> list[str]:
    cells = [[str(name) for name in frame.columns], ["---"] * len(frame.columns)]
    cells += [[str(value) for value in row] for row in frame.itertuples(index=False)]
    rows = [[" ".join(value.replace("|", "\\|").split()) for value in row] for row in cells]
    return [f"| {' | '.join(row)} |" for row in rows]
