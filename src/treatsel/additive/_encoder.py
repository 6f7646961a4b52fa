"""Encoding of covariates as a float64 matrix, matched by column name.

It is learned from the development cohort and then fixed. Numbers are standardized (or unchanged, for
learners that handle missing values natively) and may have hinges at knots; texts get one column per
category; and a column with missing values gets an indicator. All columns of an unknown category are 0.
Every learner is fitted to this matrix.
Models leave out what fewer than 5 patients have in common, see `treatsel.additive._column`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text, count_of, listed
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._lazy import lazy
from treatsel.additive._column import (
    Column,
    People,
    category_of,
    codes_of,
    number_of,
    symmetric_log,
    values_of,
)
from treatsel.additive._moments import NARROWEST
from treatsel.codebook import LARGEST, too_large
from treatsel.errors import CohortError, Fault

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Encoding:
    """A learned encoding of covariates.

    Parameters
    ----------
    columns : tuple of Column
        One per source column.
    native_missing : bool
        Whether missing numbers stay NaN (for learners that split on them) and numbers keep their scale;
        otherwise a missing number is 0, the mean, and has an indicator.
    """

    columns: tuple[Column, ...]
    native_missing: bool

    @classmethod
    def learn(
        cls,
        covariates: "pd.DataFrame",
        weights: FloatArray,
        *,
        native_missing: bool,
        knots: bool = False,
        logs: bool = False,
        smallest: int = 1,
        patients: FloatArray | None = None,
    ) -> "Encoding":
        """Learn means, scales and categories (and knots at the quartiles) from a development cohort.

        With `logs`, a skewed number enters on a logarithmic scale.

        What fewer than `smallest` patients have in common is left out. `patients` is the number of patients
        that each row represents; None: the weights if all are whole numbers (repeated rows); otherwise a
        row with a positive weight is one patient.
        """
        if patients is None:
            patients = patients_of(weights)
        people = People(patients, smallest)
        columns, faults = [], []
        for name in covariates.columns:
            values = values_of(covariates[name])
            absent = values != values
            if absent.all():
                remedy = "A covariate needs at least one value; drop the column."
                faults.append(Fault(column=str(name), problem="holds no value at all", remedy=remedy))
            elif values.dtype == object:
                columns.append(category_of(name, values, weights, people))
            elif n := int(np.isinf(values).sum()):
                faults.append(_infinite(name, n, covariates.index[np.isinf(values)]))
            elif n := int((np.abs(values) > LARGEST).sum()):
                faults.append(too_large(str(name), n))
            elif native_missing:
                columns.append(Column(name=name))
            else:
                columns.append(number_of(name, values, weights, people, knots=knots, logs=logs))
                faults += _too_narrow(columns[-1])
        if faults:
            raise CohortError("The covariates cannot be encoded:", faults)
        return cls(tuple(columns), native_missing)

    @classmethod
    def of_cohort(cls, covariates: "pd.DataFrame", weights: FloatArray, **options: Any) -> "Encoding":
        """Learn an encoding, as `learn`, that describes no group of fewer than 5 patients: for all models."""
        return cls.learn(covariates, weights, smallest=SMALLEST_GROUP, **options)

    @property
    def names(self) -> list[str]:
        """Source columns."""
        return [column.name for column in self.columns]

    @property
    def features(self) -> list[str]:
        """Columns of the matrix."""
        return [feature for column in self.columns for feature in column.features]

    @lazy
    def sources(self) -> np.ndarray:
        """Position of the source column of each column of the matrix."""
        return np.repeat(np.arange(len(self.columns)), [column.width for column in self.columns])

    @lazy
    def starts(self) -> np.ndarray:
        """Position of the first column of the matrix that belongs to each source column."""
        return np.cumsum([0, *(column.width for column in self.columns)])[:-1]

    @property
    def kinds(self) -> np.ndarray:
        """Kind of each column of the matrix: number, hinge, category or missing."""
        return np.array([kind for column in self.columns for kind in column.kinds])

    def missing(self, covariates: "pd.DataFrame") -> FloatArray:
        """Return 1.0 where a source column has no value, shape (n_patients, n_columns)."""
        return np.column_stack([covariates[name].isna().to_numpy(dtype=float) for name in self.names])

    def departures(self, j: int, n_draws: int) -> FloatArray:
        """Return draws of a missing value's deviation from the mean of source column `j`.

        A standard normal number, or a category drawn by its share in the development cohort; shape
        (n_draws, n_values), the columns without the indicator. Each column has a fixed random stream.
        """
        column, random = self.columns[j], np.random.default_rng([2, j])
        if column.levels is None:
            half = random.standard_normal((n_draws + 1) // 2)
            values = column.expand(np.concatenate([half, -half])[:n_draws])
            return np.asarray(values - values.mean(axis=0))
        if not len(column.levels):
            return np.zeros((n_draws, 0))
        shares = np.array(column.shares or np.ones(len(column.levels)))
        shares /= shares.sum()
        chosen = random.choice(len(shares), size=n_draws, p=shares)
        values = np.zeros((n_draws, len(shares)))
        values[np.arange(n_draws), chosen] = 1.0
        return np.asarray(values - shares)

    def encode(self, covariates: "pd.DataFrame") -> FloatArray:
        """Return the matrix, shape (n_patients, n_features); extra columns are ignored.

        Raises
        ------
        CohortError
            If a column is missing, infinite, or holds text where numbers were learned.
        """
        self._check(covariates)
        matrix = np.zeros((len(covariates), len(self.features)))
        start = 0
        for column in self.columns:
            values = values_of(covariates[column.name], text=column.levels is not None)
            self._fill(matrix[:, start : start + column.width], column, values)
            start += column.width
        return matrix

    def encode_one(self, values: Mapping[str, Any]) -> FloatArray:
        """Return the matrix of one patient, shape (1, n_features), bit-equal to `encode`.

        `values` are clean: a float or a text by covariate, NaN or None if missing.
        """
        plan, row = self._plan, np.zeros(self._width)
        x = np.array([values[name] for name in plan.numbers], dtype=np.float64)
        absent = np.isnan(x)
        if len(plan.logs):
            x[plan.logs] = symmetric_log(x[plan.logs], plan.log_unit)
        if self.native_missing:
            row[plan.start] = x
        else:
            z = np.where(absent | plan.ignored, 0.0, (x - plan.center) / plan.scale)
            row[plan.start] = z
            row[plan.hinges] = np.maximum(z[plan.hinge_source] - plan.knots, 0.0)
        row[plan.indicators] = absent[plan.indicated]
        for column, start, codes in plan.categories:
            value = values[column.name]
            if value is None or value != value:
                if column.indicator:
                    row[start + len(codes)] = 1.0
                elif column.shares:
                    row[start : start + len(codes)] = column.shares
            elif (code := codes.get(value if isinstance(value, str) else as_text(value))) is not None:
                row[start + code] = 1.0
        return row[None]

    @lazy
    def _plan(self) -> "_Plan":
        return _Plan.of(self.columns)

    @lazy
    def _width(self) -> int:
        return sum(column.width for column in self.columns)

    def _fill(self, block: FloatArray, column: Column, values: np.ndarray) -> None:
        absent = np.asarray(values != values)
        if column.levels is not None:
            codes = codes_of(column.levels, values)
            known = np.flatnonzero(codes >= 0)
            block[known, codes[known]] = 1.0
            if not column.indicator and column.shares:  # never missing in development: the mean over levels
                block[absent] = column.shares
        elif self.native_missing:
            block[:, 0] = values
        elif not column.ignored:
            z = np.where(absent, 0.0, column.standardized(values))
            block[:, : 1 + len(column.knots)] = column.expand(z)
        if column.indicator:
            block[:, -1] = absent

    def _check(self, covariates: "pd.DataFrame") -> None:
        faults = []
        for column in self.columns:
            if column.name not in covariates.columns:
                remedy = f"The model was fitted with it; the covariates are {listed(self.names)}."
                faults.append(Fault(column=str(column.name), problem="is missing", remedy=remedy))
                continue
            values = values_of(covariates[column.name], text=column.levels is not None)
            if column.levels is None and values.dtype == object:
                remedy = "It was a number in the development cohort; convert it."
                problem = f"holds text among its {count_of(int((values == values).sum()), 'value')}"
                faults.append(Fault(column=str(column.name), problem=problem, remedy=remedy))
            elif values.dtype != object and (n := int(np.isinf(values).sum())):
                faults.append(_infinite(column.name, n, covariates.index[np.isinf(values)]))
        if faults:
            raise CohortError("The covariates do not fit this model:", faults)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings."""
        return {
            "columns": [_entry(column) for column in self.columns],
            "native_missing": self.native_missing,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Encoding":
        """Read what `to_dict` wrote."""
        columns = []
        for entry in content["columns"]:
            levels = None if entry["levels"] is None else tuple(str(level) for level in entry["levels"])
            shares, knots = (tuple(float(v) for v in entry.get(key, ())) for key in ("shares", "knots"))
            columns.append(
                Column(
                    name=str(entry["name"]),
                    center=float(entry["center"]),
                    scale=float(entry["scale"]),
                    levels=levels,
                    shares=shares,
                    knots=knots,
                    indicator=bool(entry["indicator"]),
                    ignored=bool(entry.get("ignored", False)),
                    log_unit=float(entry.get("log_unit", 0.0)),
                )
            )
        return cls(tuple(columns), bool(content["native_missing"]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Plan:
    """Positions of one patient's values in the matrix: all numbers at once, categories one by one.

    For each number its name, position, mean, scale and whether it is ignored; for each skewed number its
    index and unit; for each hinge its position,
    the index of its number, and the knot; for each indicator its position and the index of its number; for
    each category its column, position, and the positions of its levels.
    """

    numbers: list[str]
    start: np.ndarray
    center: FloatArray
    scale: FloatArray
    ignored: np.ndarray
    logs: np.ndarray
    log_unit: FloatArray
    hinges: np.ndarray
    hinge_source: np.ndarray
    knots: FloatArray
    indicators: np.ndarray
    indicated: np.ndarray
    categories: list[tuple[Column, int, dict[str, int]]]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "_Plan":
        starts = np.cumsum([0, *(column.width for column in columns)]).tolist()
        placed = list(zip(columns, starts, strict=False))
        numbers = [(column, start) for column, start in placed if column.levels is None]
        n_knots = [len(column.knots) for column, _ in numbers]
        skewed = [i for i, (column, _) in enumerate(numbers) if column.log_unit]
        said = [i for i, (column, _) in enumerate(numbers) if column.indicator]
        return cls(
            numbers=[column.name for column, _ in numbers],
            start=np.array([start for _, start in numbers], dtype=np.intp),
            center=np.array([column.center for column, _ in numbers]),
            scale=np.array([column.scale for column, _ in numbers]),
            ignored=np.array([column.ignored for column, _ in numbers], dtype=bool),
            logs=np.array(skewed, dtype=np.intp),
            log_unit=np.array([numbers[i][0].log_unit for i in skewed]),
            hinges=np.array(
                [start + 1 + i for column, start in numbers for i in range(len(column.knots))], dtype=np.intp
            ),
            hinge_source=np.repeat(np.arange(len(numbers)), n_knots),
            knots=np.array([knot for column, _ in numbers for knot in column.knots], dtype=np.float64),
            indicators=np.array([numbers[i][1] + numbers[i][0].width - 1 for i in said], dtype=np.intp),
            indicated=np.array(said, dtype=np.intp),
            categories=[
                (column, start, {level: i for i, level in enumerate(column.levels)})
                for column, start in placed
                if column.levels is not None
            ],
        )


def _too_narrow(column: Column) -> list[Fault]:
    if column.scale >= NARROWEST:
        return []
    remedy = "Give the numbers in a larger unit, or drop the column."
    problem = f"varies by less than {NARROWEST:g}, which is too little for computation"
    return [Fault(column=column.name, problem=problem, remedy=remedy)]


def _infinite(name: str, n: int, rows: "pd.Index[Any]") -> Fault:
    remedy = "Only finite numbers are allowed; empty means missing."
    problem = f"holds {count_of(n, 'infinite value')}"
    return Fault(column=str(name), problem=problem, remedy=remedy, n_rows=n, rows=tuple(rows.tolist()))


def patients_of(weights: FloatArray) -> FloatArray:
    """Return the number of patients in each row; a fractional weight, however large, is one patient's."""
    is_whole = bool((np.asarray(weights) % 1 == 0).all())
    return np.asarray(weights if is_whole else weights > 0, dtype=np.float64)


def _entry(column: Column) -> dict[str, Any]:
    """Return a column as plain values; `ignored` and `log_unit` only where they say something."""
    rare = ("ignored", "log_unit")
    return {key: value for key, value in asdict(column).items() if value or key not in rare}
