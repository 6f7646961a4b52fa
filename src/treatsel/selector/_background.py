"""Summaries of the development cohort: counts by arm, expected ranges, and group means as a background."""

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.models import Encoding

MAX_GROUPS = 500  # rows of the background: bounds the time of an explanation, whatever the cohort's size
MIN_EVENTS = 10  # events, and non-events, that an arm needs to be compared with other arms


def summarize(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return the means of groups of similar patients; groups are of about the same size.

    Microaggregation: every group of patients is split at the median of its first principal component, until
    a further split would give groups smaller than ``SMALLEST_GROUP`` (or more than ``MAX_GROUPS`` groups).
    Group sizes differ by at most one. A number is summarized by the group's mean, a text by its most frequent
    value.

    References
    ----------
    Domingo-Ferrer & Mateo-Sanz (2002), IEEE Trans Knowl Data Eng 14(1), 189-201. doi:10.1109/69.979982
    """
    encoding = Encoding.learn(covariates, np.ones(len(covariates)), native_missing=False)
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
    texts = pd.Series(column.to_numpy(dtype=object)).groupby(group)
    return texts.agg(lambda values: values.mode(dropna=False).iloc[0])


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
    # Percentiles instead of extremes, so that no bound is a single patient's value; widened by half their
    # distance on both sides, so that only values well outside the development cohort are flagged.
    low, high = numbers.quantile(0.01), numbers.quantile(0.99)
    return pd.DataFrame({"lower": low - 0.5 * (high - low), "upper": high + 0.5 * (high - low)})
