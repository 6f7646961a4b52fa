"""Numbers as text: percent, percentage points, p values, estimates with their interval."""

from typing import Any

DASH = "\N{EN DASH}"  # shown for a value that does not exist


def fixed(value: float, form: str) -> str:
    """Return a number in a format such as "+.1f"; values that round to 0 have no sign."""
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text


def percent(value: Any, digits: int = 1) -> str:
    """Return a proportion as percent, or a dash."""
    return DASH if value is None or value != value else f"{fixed(100 * value, f'.{digits}f')} %"


def points(value: Any) -> str:
    """Return a difference of proportions in percentage points, or a dash."""
    return DASH if value is None or value != value else f"{fixed(100 * value, '+.1f')} points"


def number(value: Any, digits: int = 2) -> str:
    """Return a number with a fixed number of decimals, or a dash."""
    return DASH if value is None or value != value else fixed(value, f".{digits}f")


def p_value(value: Any) -> str:
    """Return a p value, or a dash."""
    if value is None or value != value:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def with_p(value: float) -> str:
    """Return "p = 0.012" or "p < 0.001"."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def with_interval(row: Any, shown: Any) -> str:
    """Return an estimate with its interval as text."""
    bounds = f"{shown(row['lower'])} to {shown(row['upper'])}"
    return f"{shown(row['value'])} ({bounds.replace(' %', '').replace(' points', '')})"
