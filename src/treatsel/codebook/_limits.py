"""Limits of a column (minimum, maximum, enum): contradictions between them, and their description."""

from collections.abc import Callable
from typing import Any

from treatsel._checks import as_text, normal_text
from treatsel.codebook._values import is_absent, is_finite_number


def contradictions_of_limits(
    kind: str, minimum: Any, maximum: Any, enum: Any, cleaned: Callable[[], list[Any]]
) -> list[str]:
    """Return what is wrong with the limits of a column of a type; `cleaned` returns its clean enum."""
    found = []
    if minimum is not None and maximum is not None and minimum > maximum:
        found.append(f"minimum {_shown(minimum)} is above maximum {_shown(maximum)}.")
    if enum is None:
        return found
    if isinstance(enum, str):
        found.append("enum must be a list.")
    elif not enum:
        found.append("enum is empty; list the allowed values or leave it out.")
    elif any(is_absent(value, ()) for value in enum):
        found.append("enum has an empty entry; put quotes around null, or drop it.")
    elif len(set(map(as_text, enum))) < len(enum):
        found.append("enum lists a value twice.")
    elif len({normal_text(as_text(value)) for value in enum}) < len(enum):
        found.append("enum lists texts that look alike (blanks, composed signs); list one of them.")
    elif kind == "string" and any(isinstance(value, bool) for value in enum):
        found.append("enum of a string column holds true or false; put quotes around yes and no.")
    elif kind in ("number", "integer") and not all(map(is_finite_number, enum)):
        found.append(f"enum must hold numbers, as its type is {kind}.")
    elif any(clean != clean for clean in cleaned()):
        found.append(f"enum has an entry that does not fit its type, {kind}.")
    return found


def allowed_text(kind: str, minimum: float | None, maximum: float | None, enum: Any) -> str:
    """Return a description of the allowed values of a column of a type."""
    if enum is not None:
        listed = ", ".join(map(str, enum[:12])) + (", ..." if len(enum) > 12 else "")
        return f"one of {listed}"
    words = {"string": "text", "boolean": "true or false (1 or 0)", "integer": "an integer"}
    noun = words.get(kind, f"a {kind}")
    if minimum is not None and maximum is not None:
        return f"{noun} from {_shown(minimum)} to {_shown(maximum)}"
    if minimum is not None:
        return f"{noun} of at least {_shown(minimum)}"
    if maximum is not None:
        return f"{noun} of at most {_shown(maximum)}"
    return noun


def _shown(bound: float) -> str:
    return f"{bound:.15g}"
