"""Statements about weights: linear inequalities with the words in which they are shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb, isfinite
from typing import Any

from treatsel._checks import ROUNDING, check_number, listed
from treatsel.errors import InputError
from treatsel.preference._criterion import Criterion

MOST_SUBSETS = 2_000  # that are tried in the search for a smaller conflict


@dataclass(frozen=True)
class Statement:
    """One thing that is known about weights: sum of coefficient times weight <= bound.

    Attributes
    ----------
    text : str
        The statement in words.
    terms : tuple of pairs (criterion, coefficient)
        Left side.
    bound : float
        Right side.
    equal : bool
        Whether both sides are equal.
    """

    text: str
    terms: tuple[tuple[str, float], ...]
    bound: float
    equal: bool = False


def weighs(name: str, weight: float) -> Statement:
    """Return that a weight is known."""
    return Statement(f"{name!r} weighs {weight:g}", ((name, 1.0),), weight, equal=True)


def same_weight(first: str, second: str) -> Statement:
    """Return that two criteria are equally important."""
    return Statement(
        f"{first!r} weighs as much as {second!r}", ((first, 1.0), (second, -1.0)), 0.0, equal=True
    )


def ratio_at_least(first: str, second: str, ratio: float = 1.0) -> Statement:
    """Return that one weight is at least `ratio` times another."""
    times = "as much as" if ratio == 1 else f"{ratio:g} times as much as"
    return Statement(f"{first!r} weighs at least {times} {second!r}", ((first, -1.0), (second, ratio)), 0.0)


def of_bounds(name: str, bounds: Any) -> list[Statement]:
    """Return that a weight lies between two numbers, as up to two statements."""
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise InputError(
            f"The bounds of {name!r} must be a pair (lowest, highest weight), for example (0.3, 0.6)."
        ) from None
    for bound in (low, high):
        check_number(f"A bound of {name!r}", bound)
    if not 0 <= low <= high <= 1:
        raise InputError(
            f"The bounds of {name!r} are {low:g} and {high:g}. Weights are 0 to 1, and the lower bound comes "
            "first."
        )
    found = []
    if low > 0:
        found.append(Statement(f"{name!r} weighs at least {low:g}", ((name, -1.0),), -float(low)))
    if high < 1:
        found.append(Statement(f"{name!r} weighs at most {high:g}", ((name, 1.0),), float(high)))
    return found


def of_ratios(ratios: Iterable[Any]) -> list[Statement]:
    """Return statements of pairs (more, less) or triples (more, less, ratio)."""
    found = []
    for each in ratios:
        if isinstance(each, str) or not isinstance(each, Sequence) or len(each) not in (2, 3):
            raise InputError(
                "at_least must hold pairs (more important, less important) or triples (more important, less "
                'important, ratio), for example ("remission", "stay", 1.5).'
            )
        first, second, ratio = (*each, 1.0)[:3]
        if first == second:
            raise InputError(f"at_least compares {first!r} with itself. Name two criteria.")
        if not (isfinite(check_number("The ratio in at_least", ratio)) and ratio > 0):
            raise InputError(f"The ratio of {first!r} to {second!r} must be finite and above 0.")
        found.append(ratio_at_least(first, second, float(ratio)))
    return found


def of_ranking(order: Iterable[Any]) -> tuple[tuple[str, ...], list[Statement]]:
    """Return criteria, and statements of an ordering from the most important; a nested list is a tie."""
    if isinstance(order, str | Mapping):
        raise InputError("A ranking must be a list of criteria from the most to the least important.")
    tied = (list, tuple, set, frozenset)
    groups = [sorted(map(name_of, each)) if isinstance(each, tied) else [each] for each in order]
    names = [[name_of(each) for each in group] for group in groups if group]
    statements = [same_weight(first, second) for group in names for first, second in pairwise(group)]
    # between tied groups any pair of members says the same; each is named once
    statements += [ratio_at_least(more[-1], less[0]) for more, less in pairwise(names)]
    return names_of(each for group in names for each in group), statements


def name_of(criterion: Any) -> str:
    """Return the name of a criterion, given as a text or as a `Criterion`."""
    name = criterion.name if isinstance(criterion, Criterion) else criterion
    if not isinstance(name, str) or not name:
        raise InputError(f"Criteria must be named by texts; found a {type(criterion).__name__}.")
    return name


def names_of(criteria: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of criteria: at least one, and each once."""
    names = tuple(map(name_of, criteria))
    if not names:
        raise InputError("No criteria are named; at least one is needed.")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"The criteria {listed(repeated)} are named more than once. Name each once.")
    return names


def check_no_conflict(criteria: Sequence[str], statements: Sequence[Statement]) -> None:
    """Raise if no weights satisfy all statements; the message names a smallest conflicting subset."""
    if violation(criteria, statements) <= ROUNDING:
        return
    texts = "; ".join(one.text for one in smallest_conflict(criteria, statements))
    raise InputError(
        f"These statements contradict each other: {texts}. No weights of 0 or more with the sum 1 satisfy "
        "them together. Change or withdraw one of them."
    )


def smallest_conflict(criteria: Sequence[str], statements: Sequence[Statement]) -> list[Statement]:
    """Return a smallest set of statements that contradict each other.

    Statements are withdrawn one by one while the others still conflict: what is left has no statement too
    many. Smaller sets are then looked for by size, as long as they are not too many to try.

    References
    ----------
    Chinneck & Dravnieks (1991), ORSA Journal on Computing 3(2), 157-168. doi:10.1287/ijoc.3.2.157
    """
    left = list(statements)
    for one in statements:
        rest = [other for other in left if other is not one]
        if violation(criteria, rest) > ROUNDING:
            left = rest
    for size in range(1, len(left)):
        if comb(len(statements), size) > MOST_SUBSETS:
            break
        for few in combinations(statements, size):
            if violation(criteria, few) > ROUNDING:
                return list(few)
    return left


def violation(criteria: Sequence[str], statements: Sequence[Statement]) -> float:
    """Return by how much the worst statement is missed by the best weights; 0 if all can be satisfied."""
    from scipy.optimize import linprog

    if not statements:
        return 0.0
    k, position = len(criteria), {name: j for j, name in enumerate(criteria)}
    rows, bounds = [], []
    for one in statements:
        for sign in (1.0, -1.0) if one.equal else (1.0,):
            row = [0.0] * k + [-1.0]  # the last unknown is the violation
            for name, coefficient in one.terms:
                row[position[name]] += sign * coefficient
            rows.append(row)
            bounds.append(sign * one.bound)
    objective, total = [0.0] * k + [1.0], [1.0] * k + [0.0]
    found = linprog(objective, A_ub=rows, b_ub=bounds, A_eq=[total], b_eq=[1.0])
    return float(found.fun)
