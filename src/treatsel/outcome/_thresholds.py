"""Signed distance of a score from a threshold, in standard deviations, shared by all definitions."""

import numpy as np
import pandas as pd

from treatsel.instrument import TOLERANCE

# A known label never has the distance 0, whose sign would say nothing. Scores that are not whole numbers may
# lie on the threshold itself; this is far below the distance of one point (1/SD) on any instrument. The
# largest distance keeps ratios to a first score of nearly zero finite.
SMALLEST, LARGEST = 1e-12, 1e12


def at_least(
    values: pd.Series, cutoff: float | pd.Series, *, whole: bool, spread: float | pd.Series
) -> pd.Series:
    """Return the distance of values to ``values >= cutoff``: positive where this holds, else negative.

    Whole numbers that are at least 10 are above 9.5, halfway between the attainable values 9 and 10, so that
    a point on either side counts the same. Other numbers are compared with the cut-off less the tolerance
    for rounding errors, as the labels are.
    """
    holds = values >= cutoff - TOLERANCE
    boundary = np.ceil(cutoff - TOLERANCE) - 0.5 if whole else cutoff - TOLERANCE
    size = ((values - boundary).abs() / spread).clip(lower=SMALLEST, upper=LARGEST)
    return size.where(holds, -size)


def at_most(values: pd.Series, cutoff: float, *, whole: bool, spread: float) -> pd.Series:
    """Return the distance of values to ``values <= cutoff``: positive where this holds, else negative."""
    return at_least(-values, -cutoff, whole=whole, spread=spread)


def are_whole(*columns: pd.Series) -> bool:
    """Whether all known values are whole numbers, apart from rounding errors."""
    return all(bool(((column - column.round()).abs().dropna() <= TOLERANCE).all()) for column in columns)


def spread_of(column: pd.Series) -> float:
    """Return the standard deviation of the known values; 1 if there are fewer than two or they are equal."""
    known = column[np.isfinite(column)].to_numpy(dtype=float)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
    return spread if np.isfinite(spread) and spread > TOLERANCE else 1.0


def distances(
    name: str, found: pd.Series, *, known: pd.DataFrame, among: pd.Series | None = None
) -> pd.Series:
    """Return distances where `labels` returns 0 or 1: all inputs known, and in the denominator."""
    defined = known.notna().all(axis=1)
    return found.astype(float).where(defined if among is None else defined & among).rename(name)
