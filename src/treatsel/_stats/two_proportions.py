"""Intervals and tests for the difference of two independent proportions, of counts that may be weighted."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from treatsel._checks import FloatArray
from treatsel._stats.intervals import Interval, quantile_of

NEAR = 1e-9  # margin of the root search at -1, 1 and the estimate, where the variance can be 0


def limits_of(method: str, events: FloatArray, n: FloatArray, level: float) -> Interval:
    """Return the limits of the difference, first proportion minus second, within [-1, 1].

    Parameters
    ----------
    method : {"wald", "newcombe", "agresti-caffo", "score"}
        Wald's without continuity correction; Newcombe's from two Wilson intervals (1998, method 10); Wald's
        with one event and one non-event added to each group (Agresti & Caffo 2000,
        doi:10.1080/00031305.2000.10474560); Miettinen and Nurminen's inverted score test.
    events, n : ndarray of shape (2,)
        Events and patients; weighted counts need not be whole numbers.
    level : float
        Confidence level.
    """
    if method == "score":
        return score(events, n, level)
    from statsmodels.stats.proportion import confint_proportions_2indep

    counts = [float(number) for pair in zip(events, n, strict=True) for number in pair]
    name = {"newcombe": "newcomb"}.get(method, method)
    lower, upper = confint_proportions_2indep(*counts, method=name, compare="diff", alpha=1 - level)
    return Interval(max(float(lower), -1.0), min(float(upper), 1.0))


def score(events: FloatArray, n: FloatArray, level: float) -> Interval:
    """Return the limits that the score test does not reject, with the factor N / (N - 1).

    Miettinen & Nurminen (1985), doi:10.1002/sim.4780040211. statsmodels (0.15) has this interval too, but its
    restricted estimate uses a count where the size of the group belongs, and its search for the roots leaves
    [-1, 1] (NaN for 3 of 10 against 5 of 12, or with no events), so the test is inverted here.
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
    """Return the maximum-likelihood second proportion if the first is larger by `difference`.

    The root of Miettinen and Nurminen's cubic that lies in the range of a proportion (their appendix I).
    """
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


LIMITS = ("wald", "newcombe", "agresti-caffo", "score")


def standard_error_of(events: FloatArray, n: FloatArray) -> float:
    """Return the unpooled standard error of the difference."""
    share = events / n
    return float(np.sqrt((share * (1 - share) / n).sum()))


def chi_squared(events: FloatArray, n: FloatArray) -> tuple[float, float]:
    """Return Pearson's statistic without continuity correction, and its p value; NaN with one class."""
    from scipy import stats

    table = np.stack([events, n - events])
    if not table.sum(axis=1).all():
        return float("nan"), float("nan")
    found = stats.chi2_contingency(table, correction=False)
    return float(found.statistic), float(found.pvalue)


def fisher(events: FloatArray, n: FloatArray) -> tuple[float, float]:
    """Return the conditional odds ratio and the p value of Fisher's exact test, of rounded counts."""
    from scipy import stats

    table: Any = np.round(np.column_stack([events, n - events])).astype(int)
    ratio = stats.contingency.odds_ratio(table, kind="conditional").statistic
    return float(ratio), float(stats.fisher_exact(table)[1])
