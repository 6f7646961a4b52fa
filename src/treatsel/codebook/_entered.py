"""Values as a person enters them: what is asked for, or proposed, is allowed by the codebook."""

from typing import Any

import numpy as np

from treatsel.codebook._field import Field


def is_number(field: Field) -> bool:
    """Whether answers are numbers or truth values, and not categories."""
    return field.type in ("number", "integer", "boolean") and not field.is_coded


def as_entered(field: Field, value: Any, rounding: float = 0.5) -> Any:
    """Return a value as a person would enter it: whole, within the limits, and in the words of the codebook.

    A fraction between two whole numbers becomes the upper one if it exceeds `rounding`.
    """
    if field.is_coded:
        number = float(value)
        return int(number) if number.is_integer() else number
    if not is_number(field):
        return str(value)
    number = float(value)
    if field.type in ("integer", "boolean"):
        whole = np.floor(number)
        number = float(whole + (number - whole > rounding))
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    number = float(min(max(number, low), high))
    if field.type == "boolean":
        if field.true_values:
            return field.true_values[0] if number > 0 else field.false_values[0]
        return bool(number)
    return int(number) if field.type == "integer" else number
