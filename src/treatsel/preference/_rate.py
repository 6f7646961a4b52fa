"""One published rate of a side effect under an arm, with its interval and its source."""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from treatsel._checks import as_text, did_you_mean, normal_text, shortened
from treatsel._reporting.text import hidden_in
from treatsel.errors import Fault, InputError
from treatsel.manifest import date_of

KEYS = ("effect", "arm", "good", "probability", "lower", "upper", "level", "source", "date")
LONGEST = 500  # characters of a text
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The rate of a side effect under an arm.

    Attributes
    ----------
    effect, arm : str
        Which side effect, under which arm.
    good : bool
        Whether the event is wanted.
    probability, lower, upper : float
        Estimate and its interval, above 0 and below 1.
    level : float
        Level of the interval, for example 0.95.
    source : str
        Where it was published.
    date : date
        Of the publication, or of the search for evidence.
    """

    effect: str
    arm: str
    good: bool
    probability: float
    lower: float
    upper: float
    level: float
    source: str
    date: datetime.date

    def spreads(self) -> tuple[float, float]:
        """Return standard deviations of the logit below and above the estimate, from the interval."""
        z = NormalDist().inv_cdf((1 + self.level) / 2)
        middle = _logit(self.probability)
        return (middle - _logit(self.lower)) / z, (_logit(self.upper) - middle) / z


def read_rate(entry: Any, where: str) -> tuple[Rate | None, list[Fault]]:
    """Return the rate of an entry, None if it has faults, and these faults."""
    if not isinstance(entry, Mapping):
        return None, [_fault(where, "it is not a mapping.", f"Give the keys {list(KEYS)}.")]
    faults = [
        _fault(where, f"unknown key {shortened(str(key))!r}.", f"Allowed: {list(KEYS)}.{close}")
        for key, close in ((key, did_you_mean(key, KEYS)) for key in entry if key not in KEYS)
    ]
    readers: dict[str, Any] = {"good": _truth, "date": lambda value: date_of("date", value)}
    readers |= dict.fromkeys(("effect", "arm", "source"), _text)
    readers |= dict.fromkeys(("probability", "lower", "upper", "level"), _share)
    parts = {}
    for key in KEYS:
        value = entry.get(key)
        if value is None or value != value or value == "":
            faults.append(_fault(where, f"{key} is missing.", MEANING[key]))
            continue
        try:
            parts[key] = readers[key](value)
        except InputError as error:
            faults.append(_fault(where, f"{key}: {error}", MEANING[key]))
    if not faults and not parts["lower"] < parts["probability"] < parts["upper"]:
        problem = "the probability does not lie between lower and upper."
        faults.append(_fault(where, problem, "Give the limits of its interval, lower first."))
    return (None if faults else Rate(**parts)), faults


MEANING = {
    "effect": "Name the side effect.",
    "arm": "Name the arm as in the model.",
    "good": "State whether the event is wanted: true or false; it is not guessed.",
    "probability": "Give a number above 0 and below 1.",
    "lower": "Give the lower limit of the interval, above 0.",
    "upper": "Give the upper limit of the interval, below 1.",
    "level": "State the level of the interval, for example 0.95.",
    "source": "State where the rate was published.",
    "date": "State the date of the publication or of the search, such as 2026-01-31.",
}


def _fault(where: str, problem: str, remedy: str) -> Fault:
    return Fault(column=None, problem=f"{where}: {problem}", remedy=remedy)


def _text(value: Any) -> str:
    text = normal_text(as_text(value)) if isinstance(value, str | int | float) else ""
    if not text or len(text) > LONGEST or hidden_in(text):
        raise InputError(f"it must be a text of 1 to {LONGEST} characters, all of them visible.")
    return text


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = TRUTH.get(as_text(value).strip().lower())
    if found is None:
        raise InputError("it must be true or false.")
    return found


def _share(value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0 < found < 1:
        raise InputError("it must be a number above 0 and below 1.")
    return found


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)
