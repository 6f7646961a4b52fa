"""`Preferences`: what is known about the weights of one patient's criteria."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, check_number, count_of, listed
from treatsel._lazy import lazy
from treatsel._reporting.summary import Summarized, Summary, some_of
from treatsel.errors import InputError
from treatsel.preference._criterion import Criterion
from treatsel.preference._statements import (
    Statement,
    check_no_conflict,
    name_of,
    names_of,
    of_bounds,
    of_ranking,
    of_ratios,
    weighs,
)
from treatsel.preference._weight_set import WeightSet

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Preferences(Summarized):
    """What is known about the weights of criteria: the weights themselves, or statements about them.

    Weights are 0 or more and have the sum 1. `Preferences(weights)`, `swing` and `equal` state them; `ranked`
    and `between` leave a set of weights, all of which are taken as equally likely. ``first & second`` joins
    the statements of both. Criteria that are not named have no weight: name one with weight 0 to say that it
    does not count.

    Parameters
    ----------
    weights : mapping of criterion to number
        Finite, 0 or more and not all 0; only their ratios matter.

    Attributes
    ----------
    criteria : tuple of str
        Names of the criteria.
    statements : tuple of Statement
        What is known, in words and as linear inequalities.
    source : str
        How the preferences were given, in words.

    Raises
    ------
    InputError
        If a weight is negative or not finite or all are 0, or if the statements contradict each other.

    References
    ----------
    Keeney & Raiffa (1993), Decisions with Multiple Objectives. doi:10.1017/CBO9781139174084
    Tervonen et al. (2015), Medical Decision Making 35(7), 859-871. doi:10.1177/0272989X15587005

    Examples
    --------
    >>> Preferences({"remission": 3, "stay": 1}).mean_weights
    {'remission': 0.75, 'stay': 0.25}
    >>> ranked = Preferences.ranked(["remission", "stay", "wait"])
    >>> {name: round(weight, 3) for name, weight in ranked.mean_weights.items()}
    {'remission': 0.611, 'stay': 0.278, 'wait': 0.111}
    >>> both = ranked & Preferences.between({"remission": (0, 0.5)}, criteria=ranked.criteria)
    >>> round(both.weight_set.share, 3)
    0.042
    """

    criteria: tuple[str, ...]
    statements: tuple[Statement, ...]
    source: str

    def __init__(self, weights: Mapping[str, float]) -> None:
        shares = _shares("weights", weights)
        names = names_of(shares)
        self._set(names, tuple(weighs(name, share) for name, share in shares.items()), "weights", shares)

    def _set(
        self,
        criteria: tuple[str, ...],
        statements: tuple[Statement, ...],
        source: str,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Set the fields of a new object; the class is frozen for its users."""
        fields = {"criteria": criteria, "statements": statements, "source": source, "_weights": weights}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _stated(
        cls, criteria: tuple[str, ...], statements: Iterable[Statement], source: str
    ) -> "Preferences":
        new = object.__new__(cls)
        new._set(criteria, tuple(statements), source)
        return new

    @classmethod
    def swing(cls, ratings: Mapping[str, float]) -> "Preferences":
        """Return the weights of swing ratings: each rating divided by the sum of all.

        Parameters
        ----------
        ratings : mapping of criterion to number
            How much the change from worst to best of this criterion matters; usually 100 for the most
            important one, and the others in comparison with it.

        Examples
        --------
        >>> Preferences.swing({"remission": 100, "stay": 60, "wait": 40}).mean_weights
        {'remission': 0.5, 'stay': 0.3, 'wait': 0.2}
        """
        new = cls(_shares("ratings", ratings))
        object.__setattr__(new, "source", "swing ratings")
        return new

    @classmethod
    def equal(cls, criteria: Iterable[str | Criterion]) -> "Preferences":
        """Return the same weight for each of some criteria."""
        if isinstance(criteria, str):
            raise InputError('equal needs a list of criteria, for example ["remission", "stay"].')
        new = cls(dict.fromkeys(names_of(criteria), 1.0))
        object.__setattr__(new, "source", "equal weights")
        return new

    @classmethod
    def ranked(cls, order: Iterable[Any]) -> "Preferences":
        """Return an ordering: criteria from the most to the least important, without numbers.

        Parameters
        ----------
        order : sequence of str, or of lists of them
            Criteria in a nested list are equally important.

        Returns
        -------
        Preferences
            Their mean weights are the rank-order centroid (Barron & Barrett 1996, Management Science 42(11),
            1515-1523; doi:10.1287/mnsc.42.11.1515).

        Examples
        --------
        >>> Preferences.ranked(["remission", ["stay", "wait"]]).to_frame().round(3)
                   weight  lowest  highest
        criterion
        remission   0.667   0.333    1.000
        stay        0.167   0.000    0.333
        wait        0.167   0.000    0.333
        """
        return cls._stated(*of_ranking(order), "ranking")

    @classmethod
    def between(
        cls,
        bounds: Mapping[str, tuple[float, float]],
        *,
        at_least: Iterable[tuple[Any, ...]] = (),
        criteria: Iterable[str | Criterion] | None = None,
    ) -> "Preferences":
        """Return what is known in part: bounds of weights, and ratios of pairs of them.

        Parameters
        ----------
        bounds : mapping of criterion to (lowest, highest)
            Weights as shares of the sum, 0 to 1. (0, 1): nothing is known.
        at_least : iterable of (more important, less important[, ratio])
            The first weight is at least `ratio` (default 1) times the second.
        criteria : iterable of str, optional
            All criteria; None: those named in `bounds` and `at_least`.

        Raises
        ------
        InputError
            If no weights satisfy all statements; the message names a smallest set of them that conflicts.

        Examples
        --------
        >>> some = Preferences.between(
        ...     {"remission": (0.5, 0.6), "wait": (0, 1)}, at_least=[("remission", "stay", 1.5)]
        ... )
        >>> some.to_frame().round(3)
                   weight  lowest  highest
        criterion
        remission   0.552     0.5      0.6
        wait        0.265     0.0      0.5
        stay        0.184     0.0      0.4
        """
        if not isinstance(bounds, Mapping):
            raise InputError(
                f"bounds must be a mapping of criteria to (lowest, highest), not a {type(bounds).__name__}."
            )
        named = {name_of(name): pair for name, pair in bounds.items()}
        found = [one for name, pair in named.items() for one in of_bounds(name, pair)]
        found += of_ratios(at_least)
        mentioned = dict.fromkeys([*named, *(name for one in found for name, _ in one.terms)])
        names = names_of(mentioned if criteria is None else criteria)
        if unknown := [name for name in mentioned if name not in names]:
            raise InputError(f"The criteria {listed(unknown)} are not among {listed(names)}.")
        check_no_conflict(names, found)
        return cls._stated(names, found, "bounds")

    def __and__(self, other: "Preferences") -> "Preferences":
        """Return preferences with the statements of both."""
        if not isinstance(other, Preferences):
            return NotImplemented
        criteria = tuple(dict.fromkeys([*self.criteria, *other.criteria]))
        statements = tuple(dict.fromkeys([*self.statements, *other.statements]))
        check_no_conflict(criteria, statements)
        sources = dict.fromkeys([*self.source.split(" and "), *other.source.split(" and ")])
        return self._stated(criteria, statements, " and ".join(sources))

    @lazy
    def weight_set(self) -> WeightSet:
        """The set of all weights that satisfy the statements."""
        fixed: Mapping[str, float] | None = self.__dict__["_weights"]
        values = None if fixed is None else [fixed[name] for name in self.criteria]
        return WeightSet(self.criteria, self.statements, fixed=values)

    @property
    def are_known(self) -> bool:
        """Whether the weights are known, rather than a set of them."""
        return self.weight_set.is_point

    @property
    def mean_weights(self) -> dict[str, float]:
        """Mean of the weights if all that satisfy the statements are equally likely.

        Expected utility over all these weights is the utility at their mean.
        """
        return dict(zip(self.criteria, self.weight_set.centroid.tolist(), strict=True))

    def sample(self, n: int, random_state: Any = 0) -> "pd.DataFrame":
        """Return independent draws of the weights, one row per draw."""
        import pandas as pd

        return pd.DataFrame(self.weight_set.sample(n, random_state), columns=list(self.criteria))

    def ranges(self) -> FloatArray:
        """Return the lowest and the highest weight of each criterion, shape (n_criteria, 2)."""
        eye = np.eye(len(self.criteria))
        low, high = self.weight_set.smallest(eye), -self.weight_set.smallest(-eye)
        return np.column_stack([low, high])

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per criterion: mean, lowest and highest weight."""
        import pandas as pd

        index = pd.Index(self.criteria, name="criterion")
        columns = {
            "weight": self.weight_set.centroid,
            **dict(zip(("lowest", "highest"), self.ranges().T, strict=True)),
        }
        return pd.DataFrame(columns, index=index)

    def to_dict(self) -> dict[str, Any]:
        """Return how the preferences were given, the statements in words, and the mean weights."""
        return {
            "source": self.source,
            "statements": [one.text for one in self.statements],
            "mean_weights": self.mean_weights,
        }

    def _summary(self) -> Summary:
        n = count_of(len(self.criteria), "criterion", "criteria")
        return Summary(
            title="Preferences",
            headline=f"{n}, by {self.source}",
            facts=[("criteria", some_of(self.criteria))],
            note="to_frame() shows the weights.",
        )


def _shares(name: str, numbers: Any) -> dict[str, float]:
    """Return weights or ratings divided by their sum, after checks."""
    if not isinstance(numbers, Mapping):
        raise InputError(f"{name} must be a mapping of criteria to numbers, not a {type(numbers).__name__}.")
    found = {}
    for key, value in numbers.items():
        criterion = name_of(key)
        number = float(check_number(f"The number of {criterion!r} in {name}", value))
        if not isfinite(number) or number < 0:
            raise InputError(f"{name} must be finite numbers of 0 or more; that of {criterion!r} is not.")
        found[criterion] = number
    largest = max(found.values(), default=0.0)
    if not largest > 0:
        raise InputError(
            f"{name} must not all be 0, and there must be at least one. Give a number above 0 to what counts."
        )
    scaled = {key: number / largest for key, number in found.items()}  # the sum of large numbers may overflow
    total = sum(scaled.values())
    return {key: number / total for key, number in scaled.items()}
