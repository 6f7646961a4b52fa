"""Encoding of one covariate: what is learned from its values, and the columns of the matrix it becomes.

What fewer than 5 patients have in common is left out before a model is fitted, since its coefficient would
describe these patients: such categories are treated as unknown, so few missing values have no indicator, and
a number that so few patients have, or that has two values of which one is so rare, is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text
from treatsel._disclosure import merged, smooth_quantile
from treatsel.additive._moments import center_and_scale
from treatsel.errors import CohortError, Fault

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (int, float, np.number, np.bool_)
QUARTILES = (0.25, 0.5, 0.75)
# Skewness above which a number enters on a logarithmic scale. That of an exponential distribution is 2, of
# counts of episodes about 1; of a symmetric score of 1,000 patients it is below 0.2.
SKEWED = 1.0
MIN_DISTINCT_VALUES = 8  # needed for hinges: with fewer distinct values, quartiles are poorly separated


@dataclass(frozen=True, kw_only=True)
class Column:
    """Encoding of one source column as columns of the matrix.

    `levels` is None for a number; a number is shifted by `center` and divided by `scale`. `knots`, in
    standardized units, are the positions of hinges, one column max(z - knot, 0) each. `shares` are the
    proportions of the levels, rounded if rarer levels were left out, see `treatsel._disclosure.merged`.
    `indicator`: whether there is a missing-value indicator. `ignored`: whether a number always counts as the
    mean, because fewer than 5 patients have a value, or the rarer one of two values. `log_unit`: 0 for a
    number as it is; for a skewed one, the unit u of log(1 + x / u), which is shifted and divided instead.
    """

    name: str
    center: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] | None = None
    shares: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    indicator: bool = False
    ignored: bool = False
    log_unit: float = 0.0

    @property
    def width(self) -> int:
        """Number of columns in the matrix."""
        return len(self.features)

    @property
    def features(self) -> list[str]:
        """Names of the columns in the matrix."""
        if self.levels is None:
            hinges = [f"{self.name} above {float(self.values(knot)):g}" for knot in self.knots]
            values = [str(self.name), *hinges]
        else:
            values = [f"{self.name}={level}" for level in self.levels]
        return values + [f"{self.name} is missing"] * self.indicator

    @property
    def kinds(self) -> list[str]:
        """Kind of each column in the matrix: number, hinge, category or missing."""
        values = (
            ["number"] + ["hinge"] * len(self.knots)
            if self.levels is None
            else ["category"] * len(self.levels)
        )
        return values + ["missing"] * self.indicator

    def values(self, z: Any) -> Any:
        """Return the numbers that are standardized to z."""
        x = self.center + self.scale * z
        return np.sign(x) * self.log_unit * np.expm1(np.abs(x)) if self.log_unit else x

    def standardized(self, values: FloatArray) -> FloatArray:
        """Return numbers, transformed if they are skewed, shifted and divided."""
        if self.log_unit:
            values = symmetric_log(values, self.log_unit)
        return np.asarray((values - self.center) / self.scale)

    def expand(self, z: FloatArray) -> FloatArray:
        """Return the columns of standardized numbers, without the indicator: (n, 1 + n_knots)."""
        return np.column_stack([z, *(np.maximum(z - knot, 0.0) for knot in self.knots)])


def symmetric_log(values: FloatArray, unit: Any) -> FloatArray:
    """Return log(1 + x / unit), continued to negative numbers as an odd function."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values) / unit))


def values_of(column: "pd.Series", *, text: bool = False) -> np.ndarray:
    """Return float64 for numbers and booleans, and text (missing: NaN) for everything else."""
    import pandas as pd

    kind = column.dtype
    held = set(map(type, column[column.notna()])) if kind.kind == "O" else set()
    # NumPy counts a time difference among the integers
    if (
        pd.api.types.is_datetime64_any_dtype(kind)
        or pd.api.types.is_timedelta64_dtype(kind)
        or np.timedelta64 in held
    ):
        remedy = "Derive a number known before treatment from it, for example days waited."
        problem = "holds dates" if pd.api.types.is_datetime64_any_dtype(kind) else "holds time differences"
        raise CohortError(
            "The covariates cannot be encoded:",
            [Fault(column=str(column.name), problem=problem, remedy=remedy)],
        )
    if isinstance(kind, pd.CategoricalDtype):  # declared categories stay categories, whatever their labels
        text = True
    if not text and pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values = column.astype("object")
    if not text and all(isinstance(value, _NUMBERS) for value in values[values.notna()]):
        return values.astype("float64").to_numpy()
    codes, labels = pd.factorize(values)  # convert each label once
    texts = np.array([*map(as_text, labels), np.nan], dtype=object)
    return texts[codes]


def codes_of(levels: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Return the position of each value among the levels; -1 for an unknown value."""
    import pandas as pd

    return np.asarray(pd.Index(levels).get_indexer(pd.Index(values, dtype=object)))


@dataclass(frozen=True, eq=False)
class People:
    """Number of patients that each row represents, and the smallest group of patients that is described."""

    counts: FloatArray
    smallest: int

    def are_enough(self, rows: np.ndarray) -> bool:
        """Whether some rows (a mask) are enough patients to be described."""
        return self.smallest <= 1 or bool(self.counts[rows].sum() >= self.smallest)

    def among(self, rows: np.ndarray) -> "People":
        """Return the people of some rows (a mask)."""
        return People(self.counts[rows], self.smallest)


def category_of(name: str, values: np.ndarray, weights: FloatArray, people: People) -> Column:
    """Learn the encoding of a column of texts."""
    absent = np.asarray(values != values)
    levels = tuple(sorted(set(values[~absent])))
    codes = codes_of(levels, values[~absent])
    counts, n = (
        np.asarray(np.bincount(codes, weights=each[~absent], minlength=len(levels)), dtype=float)
        for each in (weights, people.counts)
    )
    rare = (n < people.smallest) & (people.smallest > 1)
    known = np.flatnonzero(~rare)
    counts = merged(np.where(rare, n, counts))[known]
    disclosed = counts if counts.any() else np.ones(len(known))
    parts = tuple(float(share) for share in disclosed / disclosed.sum()) if len(known) else ()
    indicator = bool(absent.any()) and people.are_enough(absent)
    return Column(name=name, levels=tuple(levels[code] for code in known), shares=parts, indicator=indicator)


def number_of(
    name: str, values: np.ndarray, weights: FloatArray, people: People, *, knots: bool, logs: bool
) -> Column:
    """Learn the encoding of a column of numbers; with `logs`, of skewed ones on a logarithmic scale."""
    absent = np.asarray(values != values)
    indicator = bool(absent.any()) and people.are_enough(absent)
    known, weights, people = values[~absent], weights[~absent], people.among(~absent)
    usual = _usual_value(known, people)
    if usual is not None:
        return Column(name=name, center=usual, indicator=indicator, ignored=True)
    unit = _log_unit(known, weights, people) if logs else 0.0
    moved = symmetric_log(known, unit) if unit else known
    center, scale = center_and_scale(moved, weights)
    where = _knots(moved, weights, people, center, scale) if knots else ()
    return Column(name=name, center=center, scale=scale, knots=where, indicator=indicator, log_unit=unit)


def _log_unit(values: np.ndarray, weights: FloatArray, people: People) -> float:
    """Return the unit of the logarithm that removes most of the skewness of a skewed number; otherwise 0.

    It is the lower quartile of the values above 0, or a fraction of it.
    """
    above = values > 0
    # a handful of values is a code rather than a quantity
    if (values < 0).any() or len(np.unique(values)) < MIN_DISTINCT_VALUES or not people.are_enough(above):
        return 0.0
    if (before := _skewness(values, weights)) <= SKEWED:
        return 0.0
    found = np.quantile(values[above], 0.25, weights=weights[above], method="inverted_cdf")
    quartile = _shared(float(found), values[above], people.among(above))
    units = [quartile / divisor for divisor in (1, 4, 16)]
    after = [abs(_skewness(symmetric_log(values, unit), weights)) for unit in units]
    return float(units[int(np.argmin(after))]) if min(after) < before else 0.0


def _skewness(values: np.ndarray, weights: FloatArray) -> float:
    center, scale = center_and_scale(values, weights)
    return float(np.average(((values - center) / scale) ** 3, weights=weights))


def _usual_value(values: np.ndarray, people: People) -> float | None:
    """Return the value to assume for all patients, if any other is that of too few; None: there is none."""
    if not people.are_enough(np.ones(len(values), dtype=bool)):
        return 0.0
    is_first = values == values[0]
    others = values[~is_first]
    if not len(others) or (others != others[0]).any():
        return None
    if not people.are_enough(~is_first):
        return float(values[0])
    return None if people.are_enough(is_first) else float(others[0])


def _knots(
    values: np.ndarray, weights: FloatArray, people: People, center: float, scale: float
) -> tuple[float, ...]:
    """Return the distinct quartiles strictly inside the range, standardized; none for few distinct values."""
    distinct = np.unique(values)
    if len(distinct) < MIN_DISTINCT_VALUES or not weights.any():
        return ()
    # three knots are enough for the smooth dose-response shapes of clinical scores; quartiles leave a
    # quarter of the patients on each segment (Harrell 2015, Regression Modeling Strategies, ch. 2)
    found = np.quantile(values, QUARTILES, weights=weights, method="inverted_cdf")
    quartiles = np.unique([_shared(quartile, values, people) for quartile in found])
    inside = quartiles[(quartiles > distinct[0]) & (quartiles < distinct[-1])]
    return tuple(float(z) for z in (inside - center) / scale)


def _shared(quartile: float, values: np.ndarray, people: People) -> float:
    """Return a quartile that enough patients have; otherwise the mean of the five nearest patients."""
    if people.are_enough(values == quartile):
        return float(quartile)
    reached = people.counts[values <= quartile].sum() / people.counts.sum()
    return smooth_quantile(values, float(reached), people.counts)
