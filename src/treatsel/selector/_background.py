"""Summaries of the development cohort: counts by arm, expected ranges, and group means as a background."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP, smooth_quantile
from treatsel.codebook import LARGEST
from treatsel.models import Encoding
from treatsel.selector._input import frequent_levels

MAX_GROUPS = 500  # rows of the background: bounds the time of an explanation, whatever the cohort's size
MOST_DIGITS = 150  # values are at most 1e100: their products with such a power of ten are floats
MIN_EVENTS = 10  # events, and non-events, that an arm needs to be compared with other arms


def summarize(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return the means of groups of similar patients; groups are of about the same size.

    Microaggregation: every group of patients is split at the median of its first principal component, until
    a further split would give groups smaller than ``SMALLEST_GROUP`` (or more than ``MAX_GROUPS`` groups).
    Group sizes differ by at most one. A number is summarized by the group's mean, a text by its most frequent
    value among those of at least ``SMALLEST_GROUP`` patients.

    References
    ----------
    Domingo-Ferrer & Mateo-Sanz (2002), IEEE Trans Knowl Data Eng 14(1), 189-201. doi:10.1109/69.979982
    """
    encoding = Encoding.of_cohort(covariates, np.ones(len(covariates)), native_missing=False)
    smallest = max(SMALLEST_GROUP, -(-len(covariates) // MAX_GROUPS))
    group = np.zeros(len(covariates), dtype=int)
    for number, rows in enumerate(_groups(encoding.encode(covariates), smallest)):
        group[rows] = number
    return pd.DataFrame({name: _center(covariates[name], group) for name in covariates.columns})


def _groups(matrix: FloatArray, smallest: int) -> list[np.ndarray]:
    groups, n = [np.arange(len(matrix))], len(matrix)
    while n // (2 * len(groups)) >= smallest:
        groups = [half for rows in groups for half in _halves(rows, matrix[rows])]
    return groups


def _halves(rows: np.ndarray, matrix: FloatArray) -> list[np.ndarray]:
    """Split patients at the median of their first principal component."""
    centered = matrix - matrix.mean(axis=0)
    if len(centered) < centered.shape[1]:  # the smaller of the two products of the matrix with itself
        direction = centered.T @ np.linalg.eigh(centered @ centered.T)[1][:, -1]
    else:
        direction = np.linalg.eigh(centered.T @ centered)[1][:, -1]
    order = np.argsort(centered @ direction, kind="stable")
    return [rows[np.sort(half)] for half in np.array_split(order, 2)]


def _center(column: pd.Series, group: np.ndarray) -> pd.Series:
    """Return one value per group; a number is missing if fewer than ``SMALLEST_GROUP`` patients have one."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        grouped = column.astype("float64").groupby(group)
        return grouped.mean().mask(grouped.count() < SMALLEST_GROUP)
    known = column.where(column.isin(frequent_levels(column)))
    texts = pd.Series(known.to_numpy(dtype=object)).groupby(group)
    # without a frequent text in any group, pandas would make numbers of the missing values
    return texts.agg(lambda values: values.mode(dropna=False).iloc[0]).astype("object")


def counts_by_arm(outcomes: pd.DataFrame, received: pd.Series) -> pd.DataFrame:
    """Return n, n_observed, n_events and sufficient_events (for comparing the arm) by outcome and arm."""
    rows = []
    for name in outcomes.columns:
        for arm, y in outcomes[name].groupby(received.to_numpy()):
            counts = {"n": len(y), "n_observed": int(y.notna().sum()), "n_events": int(y.sum())}
            fewest = min(counts["n_events"], counts["n_observed"] - counts["n_events"])
            rows.append({"outcome": name, "arm": arm, **counts, "sufficient_events": fewest >= MIN_EVENTS})
    return pd.DataFrame(rows)


def ranges_of(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return the expected range of each numeric covariate: columns lower and upper."""
    numbers = covariates.select_dtypes("number")
    return pd.DataFrame([_range(numbers[name]) for name in numbers], index=numbers.columns).astype("float64")


def _range(column: pd.Series) -> dict[str, float]:
    """Return the range of a number, which tells no value of a single patient.

    The ends are means of the five patients nearest to the 1st and 99th percentile, widened by half their
    distance, so that only values well outside the development cohort are flagged, and rounded outwards.
    """
    values = column.dropna().to_numpy(dtype=np.float64)
    low, high = (smooth_quantile(values, at) for at in (0.01, 0.99))
    if np.isnan(low):  # fewer than five patients have a value
        return {"lower": -LARGEST, "upper": LARGEST}
    margin = 0.5 * high - 0.5 * low
    if not margin > 0:
        return {"lower": low, "upper": high}
    digits = 1 - int(np.floor(np.log10(margin)))  # a tenth of the margin, or finer
    return {
        "lower": _rounded(low - margin, digits, np.floor),
        "upper": _rounded(high + margin, digits, np.ceil),
    }


def _rounded(value: float, digits: int, outwards: Callable[[float], float]) -> float:
    if abs(digits) > MOST_DIGITS:
        return value
    unit = 10.0 ** abs(digits)
    return float(outwards(value * unit) / unit if digits >= 0 else outwards(value / unit) * unit)
