"""The smallest change of one covariate that changes the top arm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from treatsel._checks import FloatArray

N_STEPS = 400  # of the first search: a top arm that holds only within one step may be missed
_REFINED = 100  # steps between a value with, and one without, another top arm
_MOST_REFINED = 5  # whole numbers may need more than two refinements
_PRECISION = 1e-6  # of the range, to which the smallest change is found

CHANGE_NOTES = {
    "none": "no value in its range changes the top arm",
    "missing": "missing: see next_question",
    "fixed": "held fixed",
}

# Maps values of a covariate to whether the top arm is another one, a boolean by value.
Differs = Callable[[FloatArray], np.ndarray]


class Change(NamedTuple):
    """A value of one covariate with which another arm is on top.

    `value` is None if there is none, and `note` says why; `arms` are the arms on top: several if tied.
    """

    covariate: str
    value: Any
    arms: tuple[Any, ...]
    note: str


def nearest_number(now: float, low: float, high: float, differs: Differs, *, whole: bool) -> float | None:
    """Return the value nearest to `now` within the range for which `differs` holds; None: there is none.

    The range is searched in both directions by 400 steps, and the first step with another top arm again by
    100 steps, until the value is known to a millionth of the range; whole numbers are exact.
    """
    found = [
        value
        for end in (low, high)
        if (value := _towards(now, end, (high - low) * _PRECISION, differs, whole)) is not None
    ]
    return min(found, key=lambda value: abs(value - now), default=None)


def _towards(now: float, end: float, precision: float, differs: Differs, whole: bool) -> float | None:
    """Return the first value on the way from `now` to `end` for which `differs` holds."""
    start, goal = now, end
    for steps in (N_STEPS, *[_REFINED] * _MOST_REFINED):
        values = _steps(start, goal, steps, whole)
        hits = np.flatnonzero(differs(values)) if len(values) else np.empty(0)
        if not len(hits):  # only in the first search: afterwards, it ends at a hit
            return None
        first = int(hits[0])
        start, goal = float(values[first - 1]) if first else start, float(values[first])
        if abs(goal - start) <= (1.0 if whole else precision):
            break
    return goal


def _steps(start: float, goal: float, n: int, whole: bool) -> FloatArray:
    """Return values from `start`, which is left out, to `goal`, in this order."""
    values = np.linspace(start, goal, n + 1)[1:]
    if whole:
        away = np.round(values)
        values = away[np.r_[True, np.diff(away) != 0]]
    return np.asarray(values[values != start])
