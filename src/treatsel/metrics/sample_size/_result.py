"""What a sample-size calculation returns, and checks of what goes into it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from treatsel._stats.estimate import NAN
from treatsel.errors import InputError

MOST_PATIENTS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One thing asked of a study, and the number of patients that it takes.

    Attributes
    ----------
    name : str
        What is asked.
    n : int or None
        Patients needed; None if the criterion does not apply here (`about` says why).
    expected : float
        Value expected of the measure; NaN where there is none.
    target : float
        What is to be reached, as `about` states: a width, a margin, a shrinkage.
    se : float
        Standard error that reaches it; NaN where it is not about one.
    about : str
        In words.
    """

    name: str
    n: int | None
    expected: float = NAN
    target: float = NAN
    se: float = NAN
    about: str


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """Patients needed by each criterion; the largest number decides.

    Attributes
    ----------
    purpose : str
        "development", "validation" or "gain".
    criteria : tuple of Criterion
        All that is asked.
    prevalence : float
        Share of patients with the outcome that was assumed.
    assumptions : mapping of str to float
        What else the numbers rest on.
    """

    purpose: str
    criteria: tuple[Criterion, ...]
    prevalence: float
    assumptions: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse what no study can be."""
        beyond = [c.name for c in self.criteria if c.n is not None and c.n > MOST_PATIENTS]
        if beyond:
            raise InputError(
                f"{beyond} would need more than {MOST_PATIENTS:,} patients. Ask for less precision, or "
                "look at the numbers given."
            )

    @property
    def n(self) -> int:
        """Patients needed to meet all criteria."""
        return max(criterion.n for criterion in self.criteria if criterion.n is not None)

    @property
    def binding_criterion(self) -> str:
        """Name of the criterion that needs most."""
        return next(criterion.name for criterion in self.criteria if criterion.n == self.n)

    @property
    def expected_events(self) -> float:
        """Patients with the outcome to expect among `n`, at `prevalence`."""
        return self.n * self.prevalence

    def __getitem__(self, name: str) -> Criterion:
        """Return a criterion by its name."""
        for criterion in self.criteria:
            if criterion.name == name:
                return criterion
        raise KeyError(f"No criterion {name!r}; there are {[criterion.name for criterion in self.criteria]}.")

    def __str__(self) -> str:
        if self.purpose == "gain":  # its prevalence is that of some of the patients
            return f"{self.n:,} patients are needed for the gain; {self.binding_criterion} decides."
        events = f"about {round(self.expected_events):,} with the outcome"
        return (
            f"{self.n:,} patients are needed for {self.purpose} ({events}); {self.binding_criterion} decides."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per criterion: n, expected, target, se, decides, about."""
        rows = {
            criterion.name: {
                "n": criterion.n,
                "expected": criterion.expected,
                "target": criterion.target,
                "se": criterion.se,
                "decides": criterion.name == self.binding_criterion,
                "about": criterion.about,
            }
            for criterion in self.criteria
        }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="criterion")
        return table.astype({"n": "Int64"})


def check_between(name: str, value: Any, low: float, high: float, *, closed: bool = False) -> float:
    """Return a number between `low` and `high`, without the ends unless `closed`."""
    number = isinstance(value, Real)
    if not (number and (low < value < high or (closed and low <= value <= high))):
        span = f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        ends = f"{'at least' if math.isinf(high) else 'from'} {low:g}"
        ends += "" if math.isinf(high) else f" to {high:g}"
        raise InputError(f"{name} is {value!r}; it must be a number {ends if closed else span}.")
    return float(value)


def check_count(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least`."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not number >= least or number % 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
    return int(number)
