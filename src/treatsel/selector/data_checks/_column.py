"""Columns reduced to integer codes, as the checks compare them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray

_SAMPLE = 50_000  # patients from whom correlations are computed
_DISCRETE = 50  # a number with more distinct values among the first patients is continuous
_PEEK = 10_000
IntArray = np.ndarray


@dataclass(frozen=True, eq=False)
class Column:
    """A column as numbers: its own, or a code per text; NaN where missing.

    `codes`: 0, 1, ... per distinct value in the order in which they first occur, missing being a value, so
    that columns that are recodings of one another have the same; None for a number that is continuous.
    """

    name: str
    values: FloatArray
    is_number: bool
    codes: IntArray | None
    n_values: int  # distinct, missing not counted; of a continuous number: 2

    @classmethod
    def read(cls, column: pd.Series) -> "Column":
        is_number = pd.api.types.is_numeric_dtype(column.dtype)
        if is_number:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if len(np.unique(values[:_PEEK][~np.isnan(values[:_PEEK])])) > _DISCRETE:
                return cls(str(column.name), values, True, None, 2)
        else:
            values = pd.factorize(column)[0].astype(np.float64)
            values[values < 0] = np.nan
        codes, distinct = pd.factorize(values, use_na_sentinel=False)
        return cls(str(column.name), values, is_number, codes, int((~np.isnan(distinct)).sum()))

    @property
    def agreement(self) -> float:
        """Share of pairs of patients with the same value (continuous: from a draw)."""
        if self.codes is not None:
            counts = np.bincount(self.codes)
        else:
            counts = np.unique(self.values[_drawn(len(self.values))], return_counts=True)[1]
        n = counts.sum()
        return 2 * _pairs(counts) / float(max(n * (n - 1.0), 1.0))

    @property
    def mixed(self) -> np.ndarray:
        """A number of 64 bits per patient, the same for the same value, without order."""
        bits = np.where(np.isnan(self.values), np.nan, self.values + 0.0).view(np.uint64)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))


def _drawn(n: int) -> IntArray:
    """Return positions of a fixed draw of patients: all, where there are not too many."""
    if n <= _SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, _SAMPLE, replace=False))


def columns_of(covariates: pd.DataFrame) -> list[Column]:
    """Return each column in the form that the guards of columns read."""
    return [Column.read(covariates[name]) for name in covariates.columns]


def _varying(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.n_values > 1]


def _pairs(counts: IntArray) -> float:
    return float((counts * (counts - 1.0)).sum() / 2)
