"""The grammar of conditions: SQLite is the referee; the parser raises nothing but its documented error."""

import random
import sqlite3

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel.codebook import Codebook, Field
from treatsel.eligibility import MOST_CHARACTERS, MOST_LEVELS, Rules
from treatsel.eligibility._grammar import And, Comparison, Membership, Missing, Not, Or, columns_of, parse
from treatsel.errors import InputError

NUMBERS = ("x", "y", "PHQ-9 start")
TEXTS = ("diagnosis", "größe")
FLAG = "pregnant"
COLUMNS = (*NUMBERS, *TEXTS, FLAG)
LEVELS = ("ptsd", "o'cd", 'a "b"', "Ärger", "NULL")
CODEBOOK = Codebook(
    (
        *(Field(name=name, type="number", role="covariate") for name in NUMBERS),
        *(Field(name=name, role="covariate") for name in TEXTS),
        Field(name=FLAG, type="boolean", role="covariate"),
        Field(name="arm", role="arm", enum=("cbt", "ssri")),
    )
)
SHARED = {"source": "A test", "version": 1, "date": "2026-11-01"}


def rules_of(*conditions):
    entries = [
        {"id": f"rule {i}", "arms": ["cbt"], "when": when, "effect": "exclude", "reason": "A test."}
        for i, when in enumerate(conditions)
    ]
    return Rules.from_dict({**SHARED, "rules": entries}, codebook=CODEBOOK)


class Writer:
    """Random conditions of the grammar, as text."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def word(self, text):
        return self._random.choice((text, text.lower(), text.capitalize()))

    def quoted(self, text):
        return "'" + text.replace("'", "''") + "'"

    def name(self, column):
        return f'"{column}"' if "-" in column or self._random.random() < 0.2 else column

    def literal(self, column, null=0.0):
        if self._random.random() < null:
            return self.word("NULL")
        if column in TEXTS:
            return self.quoted(self._random.choice(LEVELS))
        if column == FLAG:
            return self._random.choice(("0", "1", "TRUE", "false"))
        return self._random.choice(("1", "-2.5", "3", "+.5", "2.", "25e-1", "4E0", "0"))

    def atom(self):
        column = self._random.choice(COLUMNS)
        kind = self._random.choice(("compare", "compare", "in", "null", "between"))
        negated = self._random.choice(("", f"{self.word('NOT')} "))
        name, ordered = self.name(column), column in NUMBERS
        if kind == "in":
            members = ", ".join(self.literal(column, null=0.15) for _ in range(self._random.randint(1, 4)))
            return f"{name} {negated}{self.word('IN')} ({members})"
        if kind == "null":
            return f"{name} {self.word('IS')} {negated}{self.word('NULL')}"
        if kind == "between" and ordered:
            low, high = self.literal(column, null=0.1), self.literal(column, null=0.1)
            return f"{name} {negated}{self.word('BETWEEN')} {low} {self.word('AND')} {high}"
        operator = self._random.choice(("=", "<>", "<", "<=", ">", ">=") if ordered else ("=", "<>"))
        return f"{name}{self._random.choice((' ', ''))}{operator} {self.literal(column)}"

    def condition(self, depth=4):
        pick = self._random.random()
        if depth == 0 or pick < 0.25:
            return self.atom()
        if pick < 0.4:
            return f"{self.word('NOT')} {self.condition(depth - 1)}"
        if pick < 0.6:
            return f"({self.condition(depth - 1)})"
        word = self.word(self._random.choice(("AND", "OR")))
        parts = [self.condition(depth - 1) for _ in range(self._random.randint(2, 3))]
        return f" {word} ".join(parts)


def patients(n, seed):
    draw = np.random.default_rng(seed)
    table = pd.DataFrame({name: draw.choice([0, 0.5, 1, -2.5, 2, 2.5, 3, 4], n) for name in NUMBERS})
    for name in TEXTS:
        table[name] = draw.choice(list(LEVELS), n)
    table[FLAG] = draw.integers(0, 2, n).astype(float)
    return table.astype("object").mask(draw.random(table.shape) < 0.3, None)


def test_sqlite_agrees_on_random_conditions():
    table = patients(60, seed=5)
    conditions = []
    writer = Writer(11)
    while len(conditions) < 600:
        if len(text := writer.condition()) <= MOST_CHARACTERS:
            conditions.append(text)
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE p ({})".format(", ".join(f'"{name}"' for name in COLUMNS)))
    rows = [tuple(None if pd.isna(v) else v for v in row) for row in table.itertuples(index=False)]
    base.executemany("INSERT INTO p VALUES (?, ?, ?, ?, ?, ?)", rows)
    rules = rules_of(*conditions)
    found = rules.apply(table).truths
    records = [rules.apply_record(row).truths for row in table.to_dict("records")]
    seen = set()
    for i, text in enumerate(conditions):
        truth = [row[0] for row in base.execute(f"SELECT ({text}) FROM p ORDER BY rowid")]
        assert [{0: 0, None: 1, 1: 2}[t] for t in truth] == found[i].tolist(), text
        assert [None if t is None else bool(t) for t in truth] == [row[i] for row in records], text
        seen |= set(truth)
    assert seen == {0, 1, None}
    base.close()


def test_text_of_the_tree():
    assert parse("a = 1 OR b <> 'it''s' AND NOT c IS NULL") == Or(
        (Comparison("a", "=", 1.0), And((Comparison("b", "<>", "it's"), Not(Missing("c")))))
    )
    assert parse("a in (1, null)") == Membership("a", (1.0, None))
    assert parse('"AND" NOT BETWEEN 1 AND 2') == Not(
        And((Comparison("AND", ">=", 1.0), Comparison("AND", "<=", 2.0)))
    )
    assert parse('"a""b" = TRUE') == Comparison('a"b', "=", True)
    assert columns_of(parse("b = 1 AND (a IN (1) OR NOT b IS NULL)")) == ("b", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phq9 => 3", r"Character 7: found '>', expected a number"),
        ("phq9 == 3", r"Character 7: found '=', expected a number"),
        ("phq9 != 3", r"Unequal is written <>"),
        ("x = NULL", r"IS NULL"),
        ("x > 5 y", r"Character 7: found 'y', expected AND, OR or the end"),
        ("x = y", r"single quotes"),
        ("x = 5; y = 3", r"A rule has one condition"),
        ("x = 16AND y = 3", r"Character 5: '1'"),
        ("x = 'open", r"Character 5"),
        ("x = ٣", r"Character 5"),  # a digit, but not one of a number here
        ("x NOT = 5", r"expected IN or BETWEEN"),
        ("NOT", r"found the end, expected a column"),
        ("x IN (1, )", r"Character 10"),
        ("x BETWEEN 1 OR 2", r"expected AND"),
        ("x IS 5", r"expected NULL"),
        ("1 < x", r"Character 1: found '1', expected a column"),
        ("x = 1e999", r"float64"),
        ("'x' = 1", r"expected a column"),
        ("x = \u202e5", r"U\+202E"),
    ],
)
def test_faults_say_where_and_what(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


def test_levels_and_length_are_bounded():
    for inside in ("NOT ", "("):
        close = ")" * MOST_LEVELS if inside == "(" else ""
        assert parse(inside * MOST_LEVELS + "x = 1" + close)
        with pytest.raises(InputError, match="50 levels"):
            parse(inside * (MOST_LEVELS + 1) + "x = 1" + close + ")")
        with pytest.raises(InputError):
            parse(inside * 450 + "x = 1")
    longest = "x = 1 OR " * 221 + "x = 1234567"
    assert len(longest) == MOST_CHARACTERS
    assert rules_of(longest).apply_record(dict.fromkeys(COLUMNS)).truths == [None]
    with pytest.raises(InputError, match="2,001 characters"):
        parse(longest + "8")
    assert parse("(x = 1) AND " * 100 + "x = 1")  # levels are of depth, not a number of parentheses


PIECES = st.sampled_from(
    [
        *(
            "x",
            "y",
            "AND",
            "OR",
            "NOT",
            "IN",
            "BETWEEN",
            "IS",
            "NULL",
            "TRUE",
            "(",
            ")",
            ",",
            "=",
            "<>",
            "<=",
        ),
        *("<", ">=", ">", "'a'", "''", "'", '"', '"x"', "1", "-1.5e3", "1e400", ".", "..", ";", "--", "/*"),
        *(
            " ",
            "\n",
            "\0",
            "\ud800",
            "é",
            "__import__('os')",
            "lambda: 1",
            "x.y",
            "{0}",
            "%s",
            "\\",
            "²",
            "٣",
        ),
    ]
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    st.one_of(
        st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=25).map("".join), st.text()
    )
)
def test_nothing_but_the_documented_error_is_raised(text):
    try:
        found = columns_of(parse(text))
    except InputError as error:
        found = str(error)
    assert 0 < len(found) < 500


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.integers(0, 10**6), st.integers(0, 200), st.sampled_from(["", "'", "(", ")", "AND", "=", "\0", "9"])
)
def test_damaged_conditions_raise_or_can_be_applied(seed, at, piece):
    text = Writer(seed).condition(depth=3)
    damaged = text[:at] + piece + text[at + 1 :]
    try:
        truths = rules_of(damaged).apply_record(dict.fromkeys(COLUMNS)).truths
    except InputError:
        return
    assert truths[0] in (True, False, None)


@pytest.mark.parametrize("value", [None, 5, b"x = 1", ["x = 1"]])
def test_a_condition_is_a_text(value):
    with pytest.raises(InputError, match="must be a text"):
        parse(value)
