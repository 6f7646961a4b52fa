"""The JSON of results: plain values, and the keys that begin every answer."""

from typing import Any

import numpy as np

from treatsel._version import __version__

_MOST_BITS = 10_000  # of an integer id; json refuses numbers of more than 4,300 digits
SCHEMA = 1  # of the JSON: increases when a key changes its meaning or is removed


def header(what: str) -> dict[str, Any]:
    """Return the first keys of the JSON of predictions, recommendations and explanations."""
    return {"kind": f"treatsel {what}", "schema": SCHEMA, "library_version": __version__}


def plain(value: Any) -> Any:
    """Return a label or a number in a form that JSON supports; None for a number that is not finite."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return hex(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
