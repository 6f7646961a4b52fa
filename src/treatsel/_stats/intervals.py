"""Confidence limits and weighted quantiles that several metrics share; weights are counts here."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from treatsel._checks import FloatArray


class Interval(NamedTuple):
    """Lower and upper confidence limit."""

    lower: float
    upper: float


def quantile_of(level: float, *, df: float | None = None) -> float:
    """Return the two-sided normal (or Student t) quantile of a confidence level."""
    tail = 0.5 + level / 2
    return float(special.ndtri(tail) if df is None else special.stdtrit(df, tail))


def wald(
    value: float,
    se: float,
    level: float,
    *,
    df: float | None = None,
    low: float = -np.inf,
    high: float = np.inf,
) -> Interval:
    """Return value +- quantile x se, truncated to the range of the scale; NaN without a standard error."""
    if not np.isfinite(se):
        return Interval(np.nan, np.nan)
    half = quantile_of(level, df=df) * se
    return Interval(float(max(value - half, low)), float(min(value + half, high)))


def two_sided_p(value: float, se: float, *, df: float | None = None) -> float:
    """Return the two-sided p value for no difference; 1 if value and standard error are both 0."""
    if not np.isfinite(se) or (se == 0 and value != 0):
        return float("nan")
    ratio = -abs(value / se) if se > 0 else 0.0
    return float(2 * (special.ndtr(ratio) if df is None else special.stdtr(df, ratio)))


def wilson(events: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper limits of proportions (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Counts need not be whole numbers: weighted counts are taken as they are.
    """
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(events, n, alpha=1 - level, method="wilson")
    # at 0 and n events the limit is 0 or 1 by algebra; the arithmetic may leave a rounding error there
    return np.where(events == 0, 0.0, lower), np.where(events == n, 1.0, upper)


def clopper_pearson(events: float, n: float, level: float) -> Interval:
    """Return exact limits of a proportion (Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404)."""
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(events, n, alpha=1 - level, method="beta")
    return Interval(float(lower), float(upper))


def weighted_quantile(values: FloatArray, weights: FloatArray, at: npt.ArrayLike) -> FloatArray:
    """Return quantiles of type 7 (Hyndman & Fan 1996, doi:10.1080/00031305.1996.10473566)."""
    order = np.argsort(values, kind="stable")
    ordered, reached = values[order], np.cumsum(weights[order])
    position = np.clip((reached[-1] - 1) * np.asarray(at, dtype=float), 0, None)
    below = np.floor(position)
    last = len(ordered) - 1
    left = ordered[np.minimum(np.searchsorted(reached, below, side="right"), last)]
    right = ordered[np.minimum(np.searchsorted(reached, below + 1, side="right"), last)]
    return np.asarray(left + (position - below) * (right - left))
