"""Result of a sample-size calculation, and checks of its input."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from treatsel._reporting.format import DASH
from treatsel._reporting.summary import Summarized, Summary
from treatsel._stats.estimate import NAN
from treatsel.errors import InputError

MOST_PATIENTS = 1_000_000_000


@dataclass(frozen=True, kw_only=True, repr=False)
class Criterion(Summarized):
    """Criterion of a sample-size calculation, with the number of patients that it requires.

    Attributes
    ----------
    name : str
        Name of the criterion.
    n : int or None
        Patients needed; None if the criterion does not apply here (see `about`).
    expected : float
        Anticipated value of the measure; NaN if there is none.
    target : float
        Target value that `about` describes: a width, a margin, a shrinkage, a power.
    se : float
        Standard error that meets the target; NaN if the criterion does not depend on one.
    about : str
        Description of the criterion.
    """

    name: str
    n: int | None
    expected: float = NAN
    target: float = NAN
    se: float = NAN
    about: str


@dataclass(frozen=True, kw_only=True, repr=False)
class SampleSize(Summarized):
    """Sample size by criterion; the largest number is required.

    Attributes
    ----------
    purpose : str
        "development", "validation" or "gain".
    criteria : tuple of Criterion
        All criteria.
    prevalence : float
        Assumed prevalence of the outcome.
    assumptions : mapping of str to float
        Further assumptions, by name.
    """

    purpose: str
    criteria: tuple[Criterion, ...]
    prevalence: float
    assumptions: Mapping[str, float]

    def __post_init__(self) -> None:
        """Raise if a criterion needs more patients than any study can have."""
        beyond = [c.name for c in self.criteria if c.n is not None and c.n > MOST_PATIENTS]
        if beyond:
            raise InputError(
                f"{beyond} would need more than {MOST_PATIENTS:,} patients. Relax the target, or check "
                "the numbers given."
            )

    def _summary(self) -> Summary:
        return Summary(
            title="SampleSize",
            headline=str(self),
            columns=("Criterion", "Patients", "Meaning"),
            rows=[
                (each.name, DASH if each.n is None else f"{each.n:,}", each.about) for each in self.criteria
            ],
            note="to_frame() shows all numbers.",
        )

    @property
    def n(self) -> int:
        """Patients needed to meet all criteria."""
        return max(criterion.n for criterion in self.criteria if criterion.n is not None)

    @property
    def binding_criterion(self) -> str:
        """Name of the criterion that needs the largest number of patients."""
        return next(criterion.name for criterion in self.criteria if criterion.n == self.n)

    @property
    def expected_events(self) -> float:
        """Expected number of patients with the outcome among `n`, at `prevalence`."""
        return self.n * self.prevalence

    def __getitem__(self, name: str) -> Criterion:
        """Return a criterion by its name."""
        for criterion in self.criteria:
            if criterion.name == name:
                return criterion
        names = [criterion.name for criterion in self.criteria]
        raise KeyError(f"No criterion {name!r}; the criteria are {names}.")

    def __str__(self) -> str:
        binding = f"binding criterion: {self.binding_criterion}."
        if self.purpose == "gain":  # its prevalence refers to only some of the patients
            return f"{self.n:,} patients are needed for the gain; {binding}"
        events = f"about {round(self.expected_events):,} with the outcome"
        return f"{self.n:,} patients are needed for {self.purpose} ({events}); {binding}"

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
    """Return a number between `low` and `high`, excluding both unless `closed`."""
    number = isinstance(value, Real)
    if not (number and (low < value < high or (closed and low <= value <= high))):
        span = f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        ends = f"{'of at least' if math.isinf(high) else 'from'} {low:g}"
        ends += "" if math.isinf(high) else f" to {high:g}"
        raise InputError(f"{name} is {value!r}; it must be a number {ends if closed else span}.")
    return float(value)


def check_count(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least`."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not number >= least or number % 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
    return int(number)
