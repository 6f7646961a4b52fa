"""What is known of the covariates as they were: from a model's stored summaries, or from patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.selector import TreatmentSelector

_EXACT = 16 * np.finfo(float).eps  # relative error of a stored mean or share
_EXACT_SQUARES = 1e-12  # and of a stored second moment
WIDTH_SHARE = (
    0.02  # at most this share lay outside the stored range: it starts from the 1st and 99th percentile
)


@dataclass(frozen=True, kw_only=True, eq=False)
class BaselineColumn:
    """One covariate as it was.

    Attributes
    ----------
    name, kind : str
        Column; "number", "binary" (0 and 1), "category" or "constant".
    n : int
        Patients.
    fewest, most : int
        How many of them had a value: exactly, if these are equal.
    mean, sd : float
        Of a number; the SD with n in its denominator.
    levels, shares : tuple
        Of a category.
    lower, upper : float
        Stored range of a number; NaN if there is none.
    """

    name: str
    kind: str
    n: int
    fewest: int
    most: int
    mean: float = np.nan
    sd: float = np.nan
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    lower: float = np.nan
    upper: float = np.nan


def baseline_of(selector: TreatmentSelector) -> list[BaselineColumn]:
    """Return what a selector, fitted or from a file, stores of the covariates of its development cohort.

    Means, SDs and shares are those of the assignment model's encoding, which is learned on all patients
    with equal weights. How many values were known is not stored, but follows, or is bounded; see `_counts`.
    """
    n = development_size(selector)
    columns = {column.name: column for column in selector.assignment_.model.encoding.columns}
    ranges: dict[Any, Any] = selector.ranges_.to_dict()
    known = []
    for name in selector.codebook_.covariates:
        column = columns[name]
        fewest, most = _counts(column, selector.background_[name], n, selector.codebook_[name].type)
        common: dict[str, Any] = {"name": name, "n": n, "fewest": fewest, "most": most}
        if column.levels is not None:
            kind = "category" if len(column.levels) > 1 else "constant"
            known.append(BaselineColumn(kind=kind, levels=column.levels, shares=column.shares, **common))
            continue
        known.append(
            BaselineColumn(
                kind=_kind(column, selector.background_[name]),
                mean=column.center,
                sd=column.scale,
                lower=float(ranges["lower"].get(name, np.nan)),
                upper=float(ranges["upper"].get(name, np.nan)),
                **common,
            )
        )
    return known


def development_size(selector: TreatmentSelector) -> int:
    """Return how many patients were in the development cohort: what the arm means were averaged over."""
    return int(selector.arm_means_["n"].max())


def baseline_from(selector: TreatmentSelector, clean: pd.DataFrame) -> list[BaselineColumn]:
    """Return the same of patients at hand, whose covariates have been checked."""
    found = []
    for stored in baseline_of(selector):
        values = clean[stored.name].dropna()
        common: dict[str, Any] = {
            "name": stored.name,
            "n": len(clean),
            "fewest": len(values),
            "most": len(values),
        }
        if stored.levels:
            counts = values.value_counts().reindex(list(stored.levels)).fillna(0).to_numpy(dtype=float)
            kind = "category" if (counts > 0).sum() > 1 else "constant"
            shares = tuple(counts / max(counts.sum(), 1.0))
            found.append(BaselineColumn(kind=kind, levels=stored.levels, shares=shares, **common))
            continue
        numbers = values.to_numpy(dtype=float)
        mean, sd = (float(numbers.mean()), float(numbers.std())) if len(numbers) else (np.nan, 0.0)
        kind = "constant" if not sd > 0 else "binary" if np.isin(numbers, (0.0, 1.0)).all() else "number"
        found.append(
            BaselineColumn(kind=kind, mean=mean, sd=sd, lower=stored.lower, upper=stored.upper, **common)
        )
    return found


def _kind(column: Any, groups: pd.Series) -> str:
    """Return what kind of number it was; a constant one is stored with scale 1."""
    center, scale = column.center, column.scale
    if scale == 1.0 and np.allclose(groups.dropna(), center, rtol=1e-12, atol=1e-12):
        return "constant"
    is_binary = 0 < center < 1 and abs(scale**2 - center * (1 - center)) <= _EXACT_SQUARES
    return "binary" if is_binary else "number"


def _counts(column: Any, groups: pd.Series, n: int, kind: str) -> tuple[int, int]:
    """Return the fewest and the most values that may have been known.

    All n, if the encoding has no indicator of missing values. Else bounds from the group means that stand
    in for the cohort: a group has a mean only of `SMALLEST_GROUP` values or more, and a most frequent text
    only if it is at least as frequent as none. Of categories and whole numbers the count itself follows:
    shares and means, times the count, must be whole.
    """
    if not column.indicator:
        return n, n
    per_group = SMALLEST_GROUP
    if column.levels is not None:
        per_group = -(-(n // len(groups)) // 2)
    fewest = min(max(int(groups.notna().sum()) * per_group, 1), n - 1)
    if column.levels is None and kind not in ("integer", "boolean"):
        return fewest, n - 1
    candidates = np.arange(fewest, n, dtype=float)
    fits = _fits(column, candidates)
    if not fits.any():
        return fewest, n - 1
    return int(candidates[fits][0]), int(candidates[fits][-1])


def _fits(column: Any, candidates: FloatArray) -> np.ndarray:
    """Return which counts make whole numbers of the stored shares, or of sum and sum of squares."""
    if column.levels is not None:
        if 0.0 in column.shares:  # rounded, as a small count must not be told
            return np.zeros(len(candidates), dtype=bool)
        totals = np.multiply.outer(candidates, np.array(column.shares))
        return np.asarray(_is_whole(totals, _EXACT).all(axis=1))
    squares = candidates * (column.scale**2 + column.center**2)
    return np.asarray(_is_whole(candidates * column.center, _EXACT) & _is_whole(squares, _EXACT_SQUARES))


def _is_whole(values: FloatArray, precision: float) -> np.ndarray:
    return np.asarray(np.abs(values - np.round(values)) <= precision * np.abs(values))
