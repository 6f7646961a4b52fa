"""Intervals and tests for the difference of two independent proportions; counts may be weighted."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from treatsel._checks import FloatArray
from treatsel._stats.intervals import Interval, quantile_of, two_sided_p, wald, wilson

NEAR = 1e-9  # how close to its ends a root is looked for


def wald_limits(events: FloatArray, n: FloatArray, level: float) -> Interval:
    """Return Wald's limits, without continuity correction."""
    share = events / n
    return wald(float(share[0] - share[1]), standard_error_of(events, n), level, low=-1, high=1)


def agresti_caffo(events: FloatArray, n: FloatArray, level: float) -> Interval:
    """Return Wald's limits with one event and one non-event more in each group.

    Agresti & Caffo (2000), doi:10.1080/00031305.2000.10474560.
    """
    return wald_limits(events + 1, n + 2, level)


def newcombe(events: FloatArray, n: FloatArray, level: float) -> Interval:
    """Return limits put together from two Wilson intervals (Newcombe 1998, method 10)."""
    lower, upper = wilson(events, n, level)
    share = events / n
    value = share[0] - share[1]
    below = np.hypot(share[0] - lower[0], upper[1] - share[1])
    above = np.hypot(upper[0] - share[0], share[1] - lower[1])
    return Interval(float(value - below), float(value + above))


def score(events: FloatArray, n: FloatArray, level: float) -> Interval:
    """Return the limits that the score test does not reject, with the factor N / (N - 1).

    Miettinen & Nurminen (1985), doi:10.1002/sim.4780040211.
    """
    share, edge = events / n, 1 - NEAR
    value = float(share[0] - share[1])

    def beyond(difference: float, quantile: float) -> float:
        null = _share_given(difference, events, n) + np.array([difference, 0.0])
        variance = float((null * (1 - null) / n).sum()) * n.sum() / (n.sum() - 1)
        return value - difference - quantile * float(np.sqrt(max(variance, 0.0)))

    quantile = quantile_of(level)
    lower = _root(lambda at: beyond(at, quantile), -edge, value - NEAR) if value > NEAR - edge else -1.0
    upper = _root(lambda at: beyond(at, -quantile), value + NEAR, edge) if value < edge - NEAR else 1.0
    return Interval(lower, upper)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    if function(low) * function(high) > 0:
        return low if abs(function(low)) < abs(function(high)) else high
    return float(brentq(function, low, high, xtol=1e-12))


def _share_given(difference: float, events: FloatArray, n: FloatArray) -> float:
    """Return the likeliest second proportion if the first is larger by `difference`."""
    other, (m, k), total, all_events = events[1], n, float(n.sum()), float(events.sum())
    b = ((m + 2 * k) * difference - total - all_events) / (3 * total)
    c = ((k * difference - total - 2 * other) * difference + all_events) / (3 * total)
    d = other * difference * (1 - difference) / (2 * total)
    q = b**3 - 3 * b * c / 2 + d
    p = float(np.copysign(np.sqrt(max(b**2 - c, 0.0)), q))
    if not p:
        return float(np.clip(-b, max(0.0, -difference), min(1.0, 1 - difference)))
    angle = (np.pi + np.arccos(np.clip(q / p**3, -1, 1))) / 3
    return float(np.clip(2 * p * np.cos(angle) - b, max(0.0, -difference), min(1.0, 1 - difference)))


LIMITS: dict[str, Callable[[FloatArray, FloatArray, float], Interval]] = {
    "wald": wald_limits,
    "newcombe": newcombe,
    "agresti-caffo": agresti_caffo,
    "score": score,
}


def standard_error_of(events: FloatArray, n: FloatArray) -> float:
    """Return the unpooled standard error of the difference."""
    share = events / n
    return float(np.sqrt((share * (1 - share) / n).sum()))


def chi_squared(events: FloatArray, n: FloatArray) -> tuple[float, float]:
    """Return Pearson's statistic without continuity correction, and its p value; NaN with one class."""
    pooled = events.sum() / n.sum()
    variance = float(pooled * (1 - pooled) * (1 / n).sum())
    if variance <= 0:
        return float("nan"), float("nan")
    z = float((events / n) @ [1, -1]) / float(np.sqrt(variance))
    return z**2, two_sided_p(z, 1.0)


def fisher(events: FloatArray, n: FloatArray) -> tuple[float, float]:
    """Return the conditional odds ratio and the p value of Fisher's exact test, of rounded counts."""
    from scipy import stats

    table: Any = np.round(np.column_stack([events, n - events])).astype(int)
    ratio = stats.contingency.odds_ratio(table, kind="conditional").statistic
    return float(ratio), float(stats.fisher_exact(table)[1])
