"""Three-valued logic (Kleene) of conditions, compiled to closures: for one record, and for whole tables.

A value that is not known makes a test unknown, unless the other operand decides: false AND unknown is false,
true OR unknown is true. Only IS NULL is never unknown. SQL has the same logic.

References
----------
Kleene (1952), Introduction to Metamathematics, section 64. ISO/IEC 9075 (SQL), search condition.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from treatsel.eligibility._column import Vector
from treatsel.eligibility._grammar import And, Comparison, Condition, Membership, Missing, Not, Or

Truth = bool | None  # None: unknown
Test = Callable[[Sequence[Any]], Truth]  # of clean values by position; None: unknown
FALSE, UNKNOWN, TRUE = 0, 1, 2  # in arrays: AND is the minimum, OR the maximum
Truths = np.ndarray
TableTest = Callable[[Mapping[str, Vector]], Truths]

# Written out, because a call of `operator.lt` inside of the closure would take half as long again.
_TESTS: dict[str, Callable[[int, Any], Test]] = {
    "=": lambda i, c: lambda values: None if (x := values[i]) is None else x == c,
    "<>": lambda i, c: lambda values: None if (x := values[i]) is None else x != c,
    "<": lambda i, c: lambda values: None if (x := values[i]) is None else x < c,
    "<=": lambda i, c: lambda values: None if (x := values[i]) is None else x <= c,
    ">": lambda i, c: lambda values: None if (x := values[i]) is None else x > c,
    ">=": lambda i, c: lambda values: None if (x := values[i]) is None else x >= c,
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    **{"=": operator.eq, "<>": operator.ne, "<": operator.lt},
    **{"<=": operator.le, ">": operator.gt, ">=": operator.ge},
}


def record_test(condition: Condition, position: Mapping[str, int]) -> Test:
    """Return a function of the clean values of one record, in the order of `position`."""
    match condition:
        case Not(part):
            return _negated(record_test(part, position))
        case And(parts):
            return _joined([record_test(part, position) for part in parts], decisive=False)
        case Or(parts):
            return _joined([record_test(part, position) for part in parts], decisive=True)
        case Missing(column):
            i = position[column]
            return lambda values: values[i] is None
        case Membership(column, members):
            return _membership(position[column], members)
        case Comparison(column, sign, value):
            return _never_known if value is None else _TESTS[sign](position[column], value)


def _never_known(values: Sequence[Any]) -> Truth:
    return None


def _negated(test: Test) -> Test:
    def negated(values: Sequence[Any]) -> Truth:
        truth = test(values)
        return None if truth is None else not truth

    return negated


def _joined(tests: list[Test], *, decisive: bool) -> Test:
    """Return AND (which one false decides) or OR (which one true decides) of tests."""
    if len(tests) == 2:  # the usual case, without a loop
        first, second = tests

        def pair(values: Sequence[Any]) -> Truth:
            truth = first(values)
            if truth is decisive:
                return decisive
            other = second(values)
            if other is decisive:
                return decisive
            return None if truth is None or other is None else not decisive

        return pair

    def joined(values: Sequence[Any]) -> Truth:
        found: Truth = not decisive
        for test in tests:
            truth = test(values)
            if truth is decisive:
                return decisive
            if truth is None:
                found = None
        return found

    return joined


def _membership(i: int, members: Sequence[Any]) -> Test:
    known = frozenset(member for member in members if member is not None)
    if len(known) == len(set(members)):
        return lambda values: None if (x := values[i]) is None else x in known
    # as in SQL, a value that is not in the list may be equal to the unknown member
    return lambda values: None if (x := values[i]) is None else (x in known or None)


def table_test(condition: Condition) -> TableTest:
    """Return a function of the columns of a table, by name; the result holds FALSE, UNKNOWN and TRUE."""
    match condition:
        case Not(part):
            test = table_test(part)
            return lambda columns: np.subtract(TRUE, test(columns), dtype=np.int8)
        case And(parts):
            return _reduced([table_test(part) for part in parts], np.minimum)
        case Or(parts):
            return _reduced([table_test(part) for part in parts], np.maximum)
        case Missing(column):
            return lambda columns: _truths(columns[column].unknown)
        case Membership(column, members):
            return lambda columns: _members_of(columns[column], members)
        case Comparison(column, sign, value):
            return lambda columns: _compared(columns[column], sign, value)


def _reduced(tests: list[TableTest], join: Any) -> TableTest:
    def reduced(columns: Mapping[str, Vector]) -> Truths:
        found = tests[0](columns)
        for test in tests[1:]:
            join(found, test(columns), out=found)  # each test returns an array of its own
        return found

    return reduced


def _compared(vector: Vector, sign: str, value: Any) -> Truths:
    if value is None:
        return np.full(len(vector.values), UNKNOWN, dtype=np.int8)
    found = _truths(_OPERATORS[sign](vector.values, vector.number(value)))
    found[vector.unknown] = UNKNOWN
    return found


def _members_of(vector: Vector, members: Sequence[Any]) -> Truths:
    numbers = [vector.number(member) for member in members if member is not None]
    found = _truths(np.isin(vector.values, numbers))
    if len(numbers) < len(members):
        found[found == FALSE] = UNKNOWN
    found[vector.unknown] = UNKNOWN
    return found


def _truths(holds: np.ndarray) -> Truths:
    return holds.astype(np.int8) * np.int8(TRUE)
