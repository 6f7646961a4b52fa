"""Names and texts from files in what is shown: nothing hidden, no formula, no markup; numbers as they are."""

import io
import sys
from pathlib import Path

import pandas as pd
import pytest

from treatsel._reporting.axes import text_of
from treatsel._reporting.page import FrontRow, Page, Section, Table, to_html, to_markdown
from treatsel._reporting.summary import Summary, to_text
from treatsel._reporting.summary import to_html as summary_html
from treatsel._reporting.text import (
    VisibleStream,
    check_names,
    hidden_in,
    in_cell,
    in_cells,
    in_markdown,
    in_one_line,
    visible,
)
from treatsel.cli._ending import status_of
from treatsel.cli._io import write_table
from treatsel.errors import InputError
from treatsel.table import TableWriter, packed

HIDDEN = [
    *("\0", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\xad", "\u061c", "\u115f", "\u200b", "\u200d", "\u200e"),
    *("\u2028", "\u2029", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\u3164", "\ufe0f", "\ufeff"),
    *("\U000e0041", "\U000e01ef", "\ue000", "\r", "\u2800"),
]
LINES = ["\n", "\r", "\t", "\r\n", "\x0b", "\x0c"]


@pytest.mark.parametrize("character", HIDDEN, ids=lambda c: f"{ord(c):04X}")
def test_hidden_characters_are_codes(character):
    text = f"cbt{character}x"
    code = f"U+{ord(character):04X}"
    assert hidden_in(text) == [code]
    assert visible(text) == f"cbt<{code}>x"
    for shown in (in_one_line(text), in_markdown(text), in_cell(text), text_of(text)):
        assert character not in shown
    with pytest.raises(InputError, match=rf"^Arms: .*U\+{ord(character):04X}") as caught:
        check_names("Arms", ["a", text], InputError)
    assert "cbt" not in str(caught.value)


@pytest.mark.parametrize("text", ["cbt", "Größe", "sertralin + CBT", "药物", "दवा", "β-blocker", "-0.5"])
def test_ordinary_names_are_allowed_and_unchanged(text):
    assert not hidden_in(text)
    assert text == visible(text) == in_one_line(text) == in_cell(text) == in_markdown(text)


@pytest.mark.parametrize("line", LINES)
def test_lines_are_joined(line):
    assert in_one_line(f"Licensed.{line}This file is signed.") == "Licensed. This file is signed."


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", " =1", "\t=1", "\uff1d1", "--5"]
)
def test_formulas_are_texts_in_cells(text):
    assert in_cell(text) == visible(f"'{text}")


@pytest.mark.parametrize(
    "text", ["-5", "+3.5", "-1e-7", "-.5", "12", "-inf", "-3.0 %", "", "a=b", "a - b", "-", " - "]
)
def test_numbers_and_other_texts_are_unchanged_in_cells(text):
    assert in_cell(text) == text


def test_numbers_of_a_table_are_unchanged_and_texts_are_cells():
    table = pd.DataFrame(
        {"=id": ["=1+1", "-5", "x\u202ey"], "p": [-0.5, 0.1, None], "arm": pd.Categorical(["@a", "b", "b"])}
    )
    found = in_cells(table)
    assert list(found.columns) == ["'=id", "p", "arm"]
    assert found["'=id"].tolist() == ["'=1+1", "-5", "x<U+202E>y"]
    assert found["arm"].tolist() == ["'@a", "b", "b"]
    assert found["p"].equals(table["p"])
    assert table["=id"].tolist() == ["=1+1", "-5", "x\u202ey"]


def test_both_writers_of_csv_write_cells(tmp_path):
    table = pd.DataFrame({"patient": ["=1+1", "a"], "probability": [-0.25, 0.5]})
    write_table(table, tmp_path / "whole.csv")
    with TableWriter(tmp_path / "pieces.csv") as writer:
        writer.write(packed(table, parquet=False))
    for name in ("whole.csv", "pieces.csv"):
        assert (tmp_path / name).read_text() == "patient,probability\n'=1+1,-0.25\na,0.5\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("<!-- x", r"\<!-- x"),
        ("![x](javascript:alert(1))", r"!\[x\](javascript:alert(1))"),
        ("`code` *bold* _it_", r"\`code\` \*bold\* \_it\_"),
        ("a | b", r"a \| b"),
        ("# Heading", r"\# Heading"),
        ("> quote", r"\> quote"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("--- ", r"\---"),
        ("&#x202e;&lt;", r"\&#x202e;\&lt;"),
        ("x\n\n# Heading", "x # Heading"),
        ("guided_self_help, p < 0.001, 3 > 2, R&D", "guided_self_help, p < 0.001, 3 > 2, R&D"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, shown):
    assert in_markdown(text) == shown


EVIL = "x<img src=x onerror=alert(1)>\u202e\x1b[2J\r\n# [a](b)\u200b"


def pages():
    frame = pd.DataFrame({EVIL: [EVIL]})
    section = Section(heading=EVIL, paragraphs=[EVIL], tables=[Table(frame, EVIL)], note=EVIL)
    front = [FrontRow(EVIL, EVIL, "good", EVIL)]
    return Page(
        title=EVIL,
        headline=EVIL,
        front_table=front,
        facts=[(EVIL, EVIL)],
        cautions=[EVIL],
        sections=[section],
    )


def test_no_part_of_a_page_shows_markup_or_hidden_characters():
    html, markdown = to_html(pages()), to_markdown(pages())
    assert hidden_in(html.replace("\n", "").replace("\t", "")) == []
    assert hidden_in(markdown.replace("\n", "")) == []
    assert "<img" not in html
    assert markdown.count("<img") == markdown.count(r"\<img") > 8
    assert sum(line.startswith("# ") for line in markdown.splitlines()) == 1
    assert "[a]" not in markdown.replace(r"\[", "")


def test_a_stream_shows_hidden_characters():
    out = io.StringIO()
    stream = VisibleStream(out)
    assert stream.write("a\u202eb\rc\n") == 6
    print("x\x1b[2J", file=stream)
    assert out.getvalue() == "a<U+202E>b<U+000D>c\nx<U+001B>[2J\n"
    assert stream.getvalue() == out.getvalue()


def test_a_stream_keeps_the_signs_that_begin_a_line():
    out = io.StringIO()
    stream = VisibleStream(out, starts=("\r\x1b[K", "\r"))
    for piece in ("\r\x1b[K0:01  fold 1\x1b[2J", "\r[###]", "a\rb"):
        stream.write(piece)
    assert out.getvalue() == "\r\x1b[K0:01  fold 1<U+001B>[2J\r[###]a<U+000D>b"


def test_commands_show_hidden_characters_as_codes(capsys):
    before = sys.stdout, sys.stderr
    assert status_of(lambda: print("cbt\u200b\x1b[2J") or 0) == 0

    def fail():
        raise InputError("cbt\x1b]0;x\x07\nsecond line\u2028third")

    assert status_of(fail) == 2
    shown = capsys.readouterr()
    assert shown.out == "cbt<U+200B><U+001B>[2J\n"
    assert shown.err == "treatsel: error: cbt<U+001B>]0;x<U+0007> second line<U+2028>third\n"
    assert (sys.stdout, sys.stderr) == before


def test_summaries_in_notebooks_show_hidden_characters_as_codes():
    summary = Summary(
        title="Result", headline=EVIL, facts=[(EVIL, EVIL)], columns=[EVIL], rows=[[EVIL]], note=EVIL
    )
    for shown in (summary_html(summary), to_text(summary)):
        assert hidden_in(shown.replace("\n", "")) == []
    assert "<img" not in summary_html(summary)


def test_only_one_module_writes_tables_as_csv():
    source = Path(__file__).parents[1] / "src" / "treatsel"
    writers = [path.name for path in source.rglob("*.py") if ".to_csv(" in path.read_text(encoding="utf-8")]
    assert writers == ["_write.py"]
