"""Rules that fit a codebook, compiled for records and for tables."""

from collections.abc import Iterable, Sequence
from typing import Any

from treatsel._checks import as_text
from treatsel.codebook import Codebook
from treatsel.eligibility._column import Column, column_of, fitted
from treatsel.eligibility._grammar import And, Comparison, Condition, Membership, Not, Or
from treatsel.eligibility._logic import TableTest, Test, record_test, table_test
from treatsel.eligibility._rule import Rule
from treatsel.errors import InputError


class Applied:
    """Rules that fit a codebook, compiled."""

    def __init__(self, rules: Sequence[Rule], codebook: Codebook, arms: Sequence[Any]) -> None:
        by_text = {as_text(arm): arm for arm in arms}
        self.rules = [
            (rule, tuple(by_text[text] for arm in rule.arms if (text := as_text(arm)) in by_text))
            for rule in rules
        ]
        self.columns: dict[str, Column] = {}
        for name in dict.fromkeys(name for rule in rules for name in rule.columns):
            column, problem = column_of(codebook, name)
            if column is None:
                raise InputError(problem)
            self.columns[name] = column
        self.conditions = [fitted(rule.condition, self.columns, []) for rule in rules]
        position = {name: i for i, name in enumerate(self.columns)}
        texts = {text for condition in self.conditions for text in _texts_in(condition)}
        self.readers = [
            (name, column.reader([*texts, *(column.field.enum or ())]))
            for name, column in self.columns.items()
        ]
        self.permitted = dict.fromkeys(arms, True)
        self.record_tests: list[Test] = [record_test(condition, position) for condition in self.conditions]
        self.exclusions = [  # rule, and the arms that it excludes if its condition is true
            (number, dict.fromkeys(own, False))
            for number, (rule, own) in enumerate(self.rules)
            if rule.effect == "exclude" and own
        ]
        self.table_tests: list[TableTest] = [table_test(condition) for condition in self.conditions]


def _texts_in(condition: Condition) -> Iterable[str]:
    match condition:
        case Not(part):
            yield from _texts_in(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from _texts_in(part)
        case Comparison(_, _, str() as text):
            yield text
        case Membership(_, values):
            yield from (value for value in values if isinstance(value, str))
