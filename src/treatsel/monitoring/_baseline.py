"""Baseline distribution of the covariates, from the summaries in a model file or from reference patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.selector import TreatmentSelector

# relative rounding error of a stored mean or proportion, and of a second moment (larger, by cancellation)
_EXACT = 16 * np.finfo(float).eps
_EXACT_SQUARES = 1e-12
# largest proportion outside the stored range at development: the range contains the 1st and 99th percentile
OUTSIDE_RANGE = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class BaselineColumn:
    """Baseline distribution of one covariate.

    Attributes
    ----------
    name, kind : str
        Column, and "number", "binary" (0 and 1), "category" or "constant".
    n : int
        Patients.
    n_known_min, n_known_max : int
        Bounds on the number of patients with a value; equal if it is known exactly.
    mean, sd : float
        Mean and SD (denominator n) of a number.
    levels, proportions : tuple
        Levels of a category, and their proportions among the known values.
    lower, upper : float
        Stored range of a number; NaN if there is none.
    """

    name: str
    kind: str
    n: int
    n_known_min: int
    n_known_max: int
    mean: float = np.nan
    sd: float = np.nan
    levels: tuple[str, ...] = ()
    proportions: tuple[float, ...] = ()
    lower: float = np.nan
    upper: float = np.nan


def baseline_of(selector: TreatmentSelector) -> list[BaselineColumn]:
    """Return what a selector, fitted or loaded, stores about the covariates of its development cohort.

    Means, SDs and proportions are those of the encoding of the assignment model, which is learned on all
    patients with equal weights. The number of known values is not stored; it is derived or bounded.
    """
    n = development_size(selector)
    columns = {column.name: column for column in selector.assignment_.model.encoding.columns}
    ranges: dict[Any, Any] = selector.ranges_.to_dict()
    known = []
    for name in selector.codebook_.covariates:
        column = columns[name]
        bounds = _n_known(column, selector.background_[name], n, selector.codebook_[name].type)
        common: dict[str, Any] = {"name": name, "n": n, "n_known_min": bounds[0], "n_known_max": bounds[1]}
        if column.levels is not None:
            kind = "category" if len(column.levels) > 1 else "constant"
            known.append(BaselineColumn(kind=kind, levels=column.levels, proportions=column.shares, **common))
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
    """Return the size of the development cohort: the number of patients that arm means are averaged over."""
    return int(selector.arm_means_["n"].max())


def baseline_from(selector: TreatmentSelector, clean: pd.DataFrame) -> list[BaselineColumn]:
    """Return the baseline of reference patients, whose covariates have been checked."""
    found = []
    for stored in baseline_of(selector):
        values = clean[stored.name].dropna()
        common: dict[str, Any] = {
            "name": stored.name,
            "n": len(clean),
            "n_known_min": len(values),
            "n_known_max": len(values),
        }
        if stored.levels:
            counts = values.value_counts().reindex(list(stored.levels)).fillna(0).to_numpy(dtype=float)
            kind = "category" if (counts > 0).sum() > 1 else "constant"
            proportions = tuple(counts / max(counts.sum(), 1.0))
            found.append(BaselineColumn(kind=kind, levels=stored.levels, proportions=proportions, **common))
            continue
        numbers = values.to_numpy(dtype=float)
        mean, sd = (float(numbers.mean()), float(numbers.std())) if len(numbers) else (np.nan, 0.0)
        kind = "constant" if not sd > 0 else "binary" if np.isin(numbers, (0.0, 1.0)).all() else "number"
        found.append(
            BaselineColumn(kind=kind, mean=mean, sd=sd, lower=stored.lower, upper=stored.upper, **common)
        )
    return found


def _kind(column: Any, groups: pd.Series) -> str:
    """Return the kind of a number. A constant is stored with scale 1, and 0/1 has variance p (1 - p)."""
    center, scale = column.center, column.scale
    if column.ignored:
        return "constant"
    if scale == 1.0 and np.allclose(groups.dropna(), center, rtol=1e-12, atol=1e-12):
        return "constant"
    is_binary = 0 < center < 1 and abs(scale**2 - center * (1 - center)) <= _EXACT_SQUARES
    return "binary" if is_binary else "number"


def _n_known(column: Any, groups: pd.Series, n: int, kind: str) -> tuple[int, int]:
    """Return bounds on the number of known values.

    It is n if the encoding has no indicator of missing values. Otherwise the stored group means bound it: a
    group has a mean only if at least `SMALLEST_GROUP` of its patients have a value, and a most frequent
    category only if missing values are not more frequent. For categories and whole numbers the count
    is often unique, since proportions and means times the count must be whole numbers.
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
    """Return which counts make the counts of the levels, or sum and sum of squares, whole numbers."""
    if column.levels is not None:
        if 0.0 in column.shares:  # rounded for disclosure control: no count makes them whole
            return np.zeros(len(candidates), dtype=bool)
        totals = np.multiply.outer(candidates, np.array(column.shares))
        return np.asarray(_is_whole(totals, _EXACT).all(axis=1))
    squares = candidates * (column.scale**2 + column.center**2)
    return np.asarray(_is_whole(candidates * column.center, _EXACT) & _is_whole(squares, _EXACT_SQUARES))


def _is_whole(values: FloatArray, precision: float) -> np.ndarray:
    return np.asarray(np.abs(values - np.round(values)) <= precision * np.abs(values))
