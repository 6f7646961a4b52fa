"""Checks of single values of a manifest: each raises `ArtifactError` with what does not fit."""

import re
from typing import Any

from treatsel._reporting.text import hidden_in
from treatsel.errors import ArtifactError

LARGEST = 1e30  # largest factor of a product; inputs are at most 1e100, so that no product overflows
_HASH = re.compile("[0-9a-f]{64}")


def require(holds: Any, problem: str) -> None:
    """Raise `ArtifactError` unless the condition holds."""
    if not holds:
        raise ArtifactError(f"Its parts are inconsistent: {problem}.")


def part_of(content: Any, key: str, where: str = "the manifest") -> Any:
    require(isinstance(content, dict) and key in content, f"{where} has no {key}")
    return content[key]


def records_of(value: Any, what: str) -> list[dict[str, Any]]:
    fits = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    require(fits, f"{what} are not a list of mappings")
    return list(value)


def labels_in(value: Any, what: str, *, empty: bool = False) -> list[str]:
    fits = isinstance(value, list) and all(isinstance(text, str) and (text or empty) for text in value)
    require(fits and len(set(value)) == len(value), f"{what} are not distinct texts")
    require(not any(map(hidden_in, value)), f"{what} have characters that are not seen")
    return list(value)


def arms_in(value: Any, what: str) -> list[Any]:
    """Return labels of arms: all texts, or all integers; distinct as texts."""
    whole = isinstance(value, list) and all(type(label) is int for label in value)
    labels_in([str(label) for label in value] if whole else value, what)
    return list(value)


def check_numbers(value: Any, n: int, what: str, low: float, high: float, *, absent: bool = False) -> None:
    require(isinstance(value, list) and len(value) == n, f"{what}: not a list of {n} numbers")
    for number in value:
        check_number(number, what, low, high, absent=absent)


def check_number(value: Any, what: str, low: float, high: float, *, absent: bool = False) -> None:
    fits = absent if value is None else is_number(value) and low <= value <= high
    require(fits, f"{what}: a number is absent or outside {low:g} to {high:g}")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_label(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not hidden_in(value)


def is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))
