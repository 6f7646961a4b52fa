"""Columns reduced to numbers and integer codes, the form in which the checks compare them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray

_SAMPLE = 50_000  # patients from whom correlations are computed: bounds the time for large cohorts
_DISCRETE = 50  # a numeric column with more distinct values than this in the first patients is continuous
_FIRST = 10_000
IntArray = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Column:
    """A column as numbers: its own values, or one code per text; NaN if missing.

    `codes`: 0, 1, ... for the distinct values in the order of first occurrence, with missing as a value, so
    that columns that are recodings of one another have the same codes; None for a continuous column.
    `n_values`: number of distinct values, not counting missing; 2 for a continuous column.
    """

    name: str
    values: FloatArray
    is_number: bool
    codes: IntArray | None
    n_values: int

    @classmethod
    def read(cls, column: pd.Series) -> "Column":
        """Reduce a column of numbers or texts."""
        is_number = pd.api.types.is_numeric_dtype(column.dtype)
        if is_number:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if len(np.unique(values[:_FIRST][~np.isnan(values[:_FIRST])])) > _DISCRETE:
                return cls(str(column.name), values, True, None, 2)
        else:
            values = pd.factorize(column)[0].astype(np.float64)
            values[values < 0] = np.nan
        codes, distinct = pd.factorize(values, use_na_sentinel=False)
        return cls(str(column.name), values, is_number, codes, int((~np.isnan(distinct)).sum()))

    @property
    def agreement(self) -> float:
        """Proportion of pairs of patients with the same value (continuous columns: in a sample)."""
        if self.codes is not None:
            counts = np.bincount(self.codes)
        else:
            counts = np.unique(self.values[sample_of(len(self.values))], return_counts=True)[1]
        n = counts.sum()
        return 2 * n_pairs(counts) / float(max(n * (n - 1.0), 1.0))


def sample_of(n: int) -> IntArray:
    """Return the positions of a fixed sample of 50,000 among `n` patients, or of all if there are fewer."""
    if n <= _SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _SAMPLE, replace=False))


def columns_of(covariates: pd.DataFrame) -> list[Column]:
    """Return each column in the form that the checks use."""
    return [Column.read(covariates[name]) for name in covariates.columns]


def varying(columns: Sequence[Column]) -> list[Column]:
    """Return the columns with more than one value."""
    return [column for column in columns if column.n_values > 1]


def n_pairs(counts: IntArray) -> float:
    """Return the number of pairs within sets of the given sizes."""
    return float((counts * (counts - 1.0)).sum() / 2)
