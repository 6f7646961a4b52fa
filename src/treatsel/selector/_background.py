"""A summary of the development cohort that stands in for it: group means, never a patient."""

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel.models import Encoding

SMALLEST_GROUP = 5
MOST_GROUPS = 500


def summarise(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return the means of groups of similar patients, all groups of about the same size.

    Patients are divided at the median of their main direction of variation, again and again, until
    the groups would be smaller than ``SMALLEST_GROUP`` (or there are ``MOST_GROUPS``): microaggregation
    of near-equal groups. Numbers become the group's mean, texts its most frequent value.

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
    waiting, done = [np.arange(len(matrix))], []
    while waiting:
        rows = waiting.pop()
        if len(rows) < 2 * smallest:
            done.append(rows)
            continue
        centered = matrix[rows] - matrix[rows].mean(axis=0)
        direction = np.linalg.eigh(centered.T @ centered)[1][:, -1]
        order = np.argsort(centered @ direction, kind="stable")
        half = len(rows) // 2
        waiting += [rows[np.sort(order[half:])], rows[np.sort(order[:half])]]
    return done


def _center(column: pd.Series, group: np.ndarray) -> pd.Series:
    """Return one value per group; missing where most of the group is missing."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        grouped = column.astype("float64").groupby(group)
        return grouped.mean().mask(grouped.count() * 2 < grouped.size())
    texts = pd.Series(column.to_numpy(dtype=object)).groupby(group)
    return texts.agg(lambda values: values.mode(dropna=False).iloc[0])
