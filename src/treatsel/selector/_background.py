"""Summaries of the development cohort that stand in for it: counts, ranges, group means; never a patient."""

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.models import Encoding

MOST_GROUPS = 500
MIN_EVENTS = 10  # events, and non-events, that an arm needs before it can be called better or worse


def summarise(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return the means of groups of similar patients, all groups of about the same size.

    Patients are divided at the median of their main direction of variation, all groups equally often,
    until they would be smaller than ``SMALLEST_GROUP`` (or more than ``MOST_GROUPS``): microaggregation;
    sizes differ by at most one. Numbers become the group's mean, texts its most frequent value.

    References
    ----------
    Domingo-Ferrer & Mateo-Sanz (2002), IEEE Trans Knowl Data Eng 14(1), 189-201. doi:10.1109/69.979982
    """
    encoding = Encoding.learn(covariates, np.ones(len(covariates)), native_missing=False)
    smallest = max(SMALLEST_GROUP, -(-len(covariates) // MOST_GROUPS))
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
    centered = matrix - matrix.mean(axis=0)
    direction = np.linalg.eigh(centered.T @ centered)[1][:, -1]
    order = np.argsort(centered @ direction, kind="stable")
    return [rows[np.sort(half)] for half in np.array_split(order, 2)]


def _center(column: pd.Series, group: np.ndarray) -> pd.Series:
    """Return one value per group; missing where fewer than ``SMALLEST_GROUP`` have one."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        grouped = column.astype("float64").groupby(group)
        return grouped.mean().mask(grouped.count() < SMALLEST_GROUP)
    texts = pd.Series(column.to_numpy(dtype=object)).groupby(group)
    return texts.agg(lambda values: values.mode(dropna=False).iloc[0])


def counts_by_arm(outcomes: pd.DataFrame, received: pd.Series) -> pd.DataFrame:
    """Return n, n_observed, n_events and whether these are enough to compare, per outcome and arm."""
    rows = []
    for name in outcomes.columns:
        for arm, y in outcomes[name].groupby(received.to_numpy()):
            counts = {"n": len(y), "n_observed": int(y.notna().sum()), "n_events": int(y.sum())}
            fewest = min(counts["n_events"], counts["n_observed"] - counts["n_events"])
            rows.append({"outcome": name, "arm": arm, **counts, "enough": fewest >= MIN_EVENTS})
    return pd.DataFrame(rows)


def ranges_of(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return from where to where each number is at home: columns lower and upper.

    From the 1st to the 99th percentile, and half of that distance wider on both sides: no patient's own
    value, and wide enough that only values well outside the development cohort lie beyond.
    """
    numbers = covariates.select_dtypes("number")
    low, high = numbers.quantile(0.01), numbers.quantile(0.99)
    return pd.DataFrame({"lower": low - 0.5 * (high - low), "upper": high + 0.5 * (high - low)})
