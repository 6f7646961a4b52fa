"""Levels of a covariate: categories, or thirds of a number; each describes at least 5 patients."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text
from treatsel._disclosure import SMALLEST_GROUP, smooth_quantile

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 5  # distinct numbers that are levels of their own
MISSING = "missing"
Levels = dict[str, np.ndarray]  # label to a mask of patients


def levels_of(column: "pd.Series[Any]") -> Levels:
    """Return the levels of a covariate, without those of fewer than 5 patients."""
    absent = column.isna().to_numpy(dtype=bool)
    found = _values_of(column, absent)
    if found is None:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        found = dict(_thirds(values[~absent], values))
    found[MISSING] = absent
    return {label: mask for label, mask in found.items() if mask.sum() >= SMALLEST_GROUP}


def _values_of(column: "pd.Series[Any]", absent: np.ndarray) -> Levels | None:
    """Return each category, or each of few numbers, as a level; None for a number with many values."""
    import pandas as pd

    present = column[~absent]
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = sorted(present.unique())
        if len(values) > MOST_VALUES:
            return None
    else:
        values = sorted(present.unique(), key=as_text)
    return {as_text(value): (column == value).to_numpy(dtype=bool, na_value=False) for value in values}


def _thirds(present: FloatArray, values: FloatArray) -> list[tuple[str, np.ndarray]]:
    low, high = (smooth_quantile(present, at) for at in (1 / 3, 2 / 3))
    return [
        (f"up to {low:.4g}", values <= low),
        (f"{low:.4g} to {high:.4g}", (values > low) & (values <= high)),
        (f"above {high:.4g}", values > high),
    ]


def weights_of(levels: Sequence[np.ndarray], n: int) -> FloatArray:
    """Return weights that give the mean over the patients of each level, shape (n_levels, n_patients)."""
    if not levels:
        return np.zeros((0, n))
    masks = np.array(levels, dtype=np.float64)
    return np.asarray(masks / masks.sum(axis=1, keepdims=True))


def bins_of(values: FloatArray, most: int = 10) -> list[tuple[float, float, int]]:
    """Return bins of a number with about equally many patients: lower edge, upper edge, count.

    Edges are means of five patients, and each bin has at least 5 patients.
    """
    edges = np.unique([smooth_quantile(values, at) for at in np.linspace(0, 1, most + 1)])
    if not np.isfinite(edges).all() or len(edges) < 2:
        return []
    counts = np.bincount(np.digitize(values, edges[1:-1], right=True), minlength=len(edges) - 1)
    found: list[tuple[float, float, int]] = []
    start, total = edges[0], 0
    for upper, n in zip(edges[1:], counts, strict=True):
        total += int(n)
        if total >= SMALLEST_GROUP:
            found.append((float(start), float(upper), total))
            start, total = upper, 0
    if total and found:
        lower, _, n = found.pop()
        found.append((lower, float(edges[-1]), n + total))
    return found
