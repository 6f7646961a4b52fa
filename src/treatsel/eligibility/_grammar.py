"""Conditions of rules: a small part of SQL's grammar, read by recursive descent and never evaluated as code.

::

    expression := and-expression (OR and-expression)*
    and-expression := not-expression (AND not-expression)*
    not-expression := NOT not-expression | atom
    atom := ( expression )
          | column operator literal
          | column [NOT] IN ( literal, ... )
          | column [NOT] BETWEEN literal AND literal
          | column IS [NOT] NULL
    operator := = | <> | < | <= | > | >=
    literal := number | 'text' | TRUE | FALSE

`NULL` is a literal in a list and as a bound, as in SQL. The words are those of SQL, so that SQLite can check
the results.
"""

import math
import re
from dataclasses import dataclass
from typing import NoReturn

from treatsel._checks import shortened
from treatsel._reporting.text import visible
from treatsel.errors import InputError

MOST_CHARACTERS = 2000
MOST_LEVELS = 50  # of parentheses and NOT: bounds the recursion
OPERATORS = ("=", "<>", "<", "<=", ">", ">=")
WORDS = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"})
Literal = float | str | bool | None  # None: NULL

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+)
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<text>'(?:[^']|'')*')
    |"(?P<quoted>(?:[^"]|"")+)"
    |(?P<name>[A-Za-z_\u0080-\U0010ffff][0-9A-Za-z_\u0080-\U0010ffff]*)
    |(?P<sign><=|>=|<>|[=<>(),])
    """,
    re.VERBOSE | re.ASCII,
)
_HINTS = {"!": " Unequal is written <>.", ";": " A rule has one condition.", ".": " Quote such a name."}


@dataclass(frozen=True)
class Comparison:
    """A column compared with a literal."""

    column: str
    operator: str
    value: Literal


@dataclass(frozen=True)
class Membership:
    """Whether a column has one of several values."""

    column: str
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Missing:
    """Whether a column is missing: the only test whose result is never unknown."""

    column: str


@dataclass(frozen=True)
class Not:
    """The negation of a condition."""

    part: "Condition"


@dataclass(frozen=True)
class And:
    """Conditions that must all hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Or:
    """Conditions of which one must hold."""

    parts: tuple["Condition", ...]


Condition = Comparison | Membership | Missing | Not | And | Or


@dataclass(frozen=True)
class _Token:
    kind: str  # "number", "text", "name" (of a column), "word", "sign" or "end"
    text: str
    at: int  # first character, from 1


def parse(text: str) -> Condition:
    """Return a condition as a tree.

    Parameters
    ----------
    text : str
        The condition, of at most `MOST_CHARACTERS` characters and `MOST_LEVELS` levels.

    Raises
    ------
    InputError
        If the text is not a condition; no other error is possible.

    Examples
    --------
    >>> parse("phq9 >= 16 AND qt_ms IS NULL")
    And(parts=(Comparison(column='phq9', operator='>=', value=16.0), Missing(column='qt_ms')))
    """
    if not isinstance(text, str):
        raise InputError("A condition must be a text, such as 'age >= 65'.")
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"The condition has {len(text):,} characters; at most {MOST_CHARACTERS:,} are allowed. Split the "
            "rule, or use IN."
        )
    return _Parser(_tokens_of(text)).condition()


def columns_of(condition: Condition) -> tuple[str, ...]:
    """Return the columns that a condition reads, in the order in which they first occur."""
    match condition:
        case Not(part):
            return columns_of(part)
        case And(parts) | Or(parts):
            return tuple(dict.fromkeys(name for part in parts for name in columns_of(part)))
        case _:
            return (condition.column,)


def _tokens_of(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or not found.lastgroup:
            sign = text[at]
            raise InputError(
                f"Character {at + 1}: {visible(sign)!r} cannot start a part of a condition."
                f"{_HINTS.get(sign, '')} Allowed are columns, numbers, 'texts', = <> < <= > >=, and words of "
                "SQL."
            )
        kind, part = found.lastgroup, found[found.lastgroup]
        if kind == "quoted":
            tokens.append(_Token("name", part.replace('""', '"'), at + 1))
        elif kind == "name" and part.upper() in WORDS:
            tokens.append(_Token("word", part.upper(), at + 1))
        elif kind != "blank":
            tokens.append(_Token(kind, part, at + 1))
        at = found.end()
    return [*tokens, _Token("end", "", len(text) + 1)]


class _Parser:
    """Recursive descent over tokens; one method for each rule of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._next, self._level = tokens, 0, 0

    def condition(self) -> Condition:
        found = self._or()
        if self._token.kind != "end":
            self._fail("AND, OR or the end")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        """Return the text of the next word or sign, and step over it, if it is one of `texts`."""
        token = self._token
        if token.kind not in ("word", "sign") or token.text not in texts:
            return None
        self._next += 1
        return token.text

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            self._fail(text)

    def _fail(self, expected: str, hint: str = "") -> NoReturn:
        token = self._token
        found = "the end" if token.kind == "end" else repr(shortened(visible(token.text)))
        raise InputError(f"Character {token.at}: found {found}, expected {expected}.{hint}")

    def _deeper(self) -> None:
        self._level += 1
        if self._level > MOST_LEVELS:
            raise InputError(
                f"Character {self._token.at}: more than {MOST_LEVELS} levels of parentheses and NOT. "
                "Split the rule."
            )

    def _or(self) -> Condition:
        parts = [self._and()]
        while self._take("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Condition:
        parts = [self._not()]
        while self._take("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Condition:
        if not self._take("NOT"):
            return self._atom()
        self._deeper()
        part = self._not()
        self._level -= 1
        return Not(part)

    def _atom(self) -> Condition:
        if self._take("("):
            self._deeper()
            found = self._or()
            self._need(")")
            self._level -= 1
            return found
        if self._token.kind != "name":
            self._fail("a column")
        column = self._token.text
        self._next += 1
        return self._test_of(column)

    def _test_of(self, column: str) -> Condition:
        if operator := self._take(*OPERATORS):
            return Comparison(column, operator, self._literal())
        if self._take("IS"):
            negated = self._take("NOT")
            self._need("NULL")
            return Not(Missing(column)) if negated else Missing(column)
        negated = self._take("NOT")
        if self._take("IN"):
            found: Condition = Membership(column, self._list())
        elif self._take("BETWEEN"):
            low = self._literal(null=True)
            self._need("AND")
            high = self._literal(null=True)
            found = And((Comparison(column, ">=", low), Comparison(column, "<=", high)))
        else:
            self._fail("IN or BETWEEN" if negated else "an operator, IN, BETWEEN or IS")
        return Not(found) if negated else found

    def _list(self) -> tuple[Literal, ...]:
        self._need("(")
        values = [self._literal(null=True)]
        while self._take(","):
            values.append(self._literal(null=True))
        self._need(")")
        return tuple(values)

    def _literal(self, *, null: bool = False) -> Literal:
        token = self._token
        if null and self._take("NULL"):
            return None
        if token.kind == "number":
            number = float(token.text)
            if not math.isfinite(number):
                self._fail("a number that float64 can hold")
            self._next += 1
            return number
        if token.kind == "text":
            self._next += 1
            return token.text[1:-1].replace("''", "'")
        if word := self._take("TRUE", "FALSE"):
            return word == "TRUE"
        return self._fail_literal()

    def _fail_literal(self) -> NoReturn:
        token = self._token
        hints = {"name": " Put texts in single quotes; a column cannot be compared with a column."}
        if token.text == "NULL":
            hints["word"] = " Missing values are found with IS NULL; a comparison with NULL is never true."
        self._fail("a number, a text in single quotes, TRUE or FALSE", hints.get(token.kind, ""))
