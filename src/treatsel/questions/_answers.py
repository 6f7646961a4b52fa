"""Distribution of a missing answer, and of all missing answers together, given the known ones.

Both come from the background of a selector: means of groups of similar patients (for texts: the most frequent
value), weighted by their distance to the known answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._stats.intervals import weighted_quantile
from treatsel.codebook import Field, as_entered, is_number

N_QUANTILES = 7
_NEIGHBORS = 30  # rows of the background that carry most of the weight, or a tenth of all rows if more
_MOST_STRETCH = 3.0
_IRRATIONAL = (np.sqrt(5) - 1) / 2  # multiples of it, modulo 1, spread evenly (Weyl)


def weights_of(background: pd.DataFrame, known: Mapping[str, Any]) -> FloatArray:
    """Return the weight of each row of the background by its distance to the known answers; sum 1.

    A Gaussian kernel of the mean squared distance: numbers in standard deviations of the background,
    categories 0 or 1. Its width is the distance of the 30th nearest row (or tenth of the rows).
    """
    distances = [_distance(background[name], value) for name, value in known.items() if name in background]
    if not distances:
        return np.full(len(background), 1 / len(background))
    squared = np.mean(distances, axis=0)
    farther = squared - squared.min()
    nearest = min(max(_NEIGHBORS, len(farther) // 10), len(farther)) - 1
    width = max(float(np.sort(farther)[nearest]), 1e-9)
    weights = np.exp(-0.5 * farther / width)
    return np.asarray(weights / weights.sum())


def _distance(column: "pd.Series[Any]", value: Any) -> FloatArray:
    absent = column.isna().to_numpy(dtype=bool)
    if isinstance(value, str):
        return np.where(absent, 1.0, (column.astype("object") != value).to_numpy(dtype=float))
    numbers = column.to_numpy(dtype=np.float64)
    spread = float(np.nanstd(numbers)) if not absent.all() else 0.0
    if spread == 0:
        return np.zeros(len(numbers))
    return np.where(absent, 1.0, ((numbers - float(value)) / spread) ** 2)


def distribution(
    field: Field, column: "pd.Series[Any]", weights: FloatArray, limits: Sequence[float] | None = None
) -> tuple[list[Any], FloatArray]:
    """Return the possible answers to a question, and their probabilities; none if the background has none.

    Categories are enumerated. A number has seven values of equal probability: quantiles at 1/14, 3/14, ...
    `limits` is the expected range of a number in the development cohort. Means of groups vary less than
    patients do: deviations from the mean are stretched so that their central 98% fit this range.
    """
    present = column.notna().to_numpy(dtype=bool) & (weights > 0)
    if not present.any():
        return [], np.empty(0)
    column, weights = column[present], weights[present] / weights[present].sum()
    if not is_number(field):
        shares = pd.Series(weights).groupby(column.astype(str).to_numpy()).sum()
        return [as_entered(field, value) for value in shares.index], np.asarray(shares, dtype=np.float64)
    numbers = column.to_numpy(dtype=np.float64)
    if is_two_valued(field, numbers, limits):
        share = float(np.clip(weights @ numbers, 0, 1))
        kept = [(value, p) for value, p in ((0.0, 1 - share), (1.0, share)) if p > 0]
        return [as_entered(field, value) for value, _ in kept], np.array([p for _, p in kept])
    counts = weights * len(weights) * 100  # `weighted_quantile` takes counts
    at = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
    center = float(weights @ numbers)
    values = center + _stretch(numbers, limits) * (weighted_quantile(numbers, counts, at) - center)
    if limits is not None:
        values = np.clip(values, *_central(limits))
    entered = [as_entered(field, value) for value in values]
    shares = pd.Series(1 / N_QUANTILES, index=range(N_QUANTILES)).groupby(entered).sum()
    return shares.index.tolist(), np.asarray(shares, dtype=np.float64)


def _central(limits: Sequence[float]) -> tuple[float, float]:
    """Return the 1st and 99th percentile: the expected range is wider by half their distance at both ends."""
    low, high = float(limits[0]), float(limits[1])
    return 0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high


def _stretch(numbers: FloatArray, limits: Sequence[float] | None) -> float:
    if limits is None:
        return 1.0
    low, high = np.quantile(numbers, (0.01, 0.99))
    wanted = _central(limits)
    if not high > low or not np.isfinite(wanted[1] - wanted[0]):
        return 1.0
    return float(np.clip((wanted[1] - wanted[0]) / (high - low), 1.0, _MOST_STRETCH))


def scenarios(
    fields: Sequence[Field], background: pd.DataFrame, weights: FloatArray, n: int
) -> list[dict[str, Any]]:
    """Return `n` equally probable sets of answers: rows of the background, drawn systematically by weight.

    A mean that is no allowed value is replaced by a neighboring one, so that the mean over scenarios is kept.
    """
    reached = np.cumsum(weights)
    rows = np.searchsorted(reached, (np.arange(n) + 0.5) / n * reached[-1])
    found: list[dict[str, Any]] = [{} for _ in rows]
    for place, field in enumerate(fields):
        column = background[field.name]
        for number, row in enumerate(rows):
            value = column.iloc[row]
            even = float(((number + 0.5) * _IRRATIONAL + place * np.sqrt(2)) % 1)
            found[number][field.name] = None if pd.isna(value) else as_entered(field, value, even)
    return found


def is_two_valued(field: Field, numbers: FloatArray, limits: Sequence[float] | None) -> bool:
    """Whether answers are 0 and 1: truth values, or whole numbers in this range.

    Means of groups of a count may all be below 1: it is no such number if the codebook or the expected range,
    which is half a unit wider at both ends, allows more.
    """
    most = [each for each in (field.maximum, None if limits is None else limits[1] - 0.5) if each is not None]
    if field.type == "integer" and most and max(most) > 1:
        return False
    whole = field.type == "integer" and bool((numbers >= 0).all() and (numbers <= 1).all())
    return field.type == "boolean" or (
        whole and bool(((numbers > 0) & (numbers < 1)).any() or field.maximum == 1)
    )
