"""Numerical functions of scores, with bit-equal results for one patient and for many."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np

from treatsel._checks import FloatArray


def logistic(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)); 0 where the exponential overflows."""
    # NumPy instead of scipy.special.expit: services do not load SciPy, and results are bit-equal everywhere
    with np.errstate(over="ignore"):
        total = np.exp(-x)
    total += 1.0
    return np.asarray(np.divide(1.0, total, out=total))


def softmax(x: FloatArray) -> FloatArray:
    """Return probabilities along the last axis, which sum to 1."""
    parts = np.exp(x - x.max(axis=-1, keepdims=True))  # the largest exponential is 1: no overflow
    return np.asarray(parts / parts.sum(axis=-1, keepdims=True))


def quantiles(values: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return quantiles over the last axis, shape (n_levels, ...), equal to `numpy.quantile` (type 7).

    References
    ----------
    Hyndman & Fan (1996), The American Statistician 50(4), 361-365. doi:10.1080/00031305.1996.10473566
    """
    return _between(values, levels)


def logistic_quantiles(logits: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return quantiles of logistic(logits) over the last axis, shape (n_levels, ...)."""
    # the logistic function is increasing, so only the two neighbors of each quantile are transformed
    return _between(logits, levels, logistic)


def _between(
    values: FloatArray, levels: Sequence[float], function: Callable[[FloatArray], FloatArray] | None = None
) -> FloatArray:
    neighbors, kth, share = _places(values.shape[-1], tuple(levels))
    found = np.partition(values, kth, axis=-1)[..., neighbors]
    if function is not None:
        found = function(found)
    low, high = found[..., : len(share)], found[..., len(share) :]
    step = high - low
    # interpolate from the nearer end, as numpy does, so that the result never leaves [low, high]
    between = np.where(share < 0.5, low + step * share, high - step * (1 - share))
    return between.transpose(-1, *range(between.ndim - 1))


@lru_cache(maxsize=64)  # a service uses the same levels for every patient
def _places(n: int, levels: tuple[float, ...]) -> tuple[np.ndarray, tuple[int, ...], FloatArray]:
    """Return the ranks below, then above all quantiles; the different ones; positions between the two."""
    place = np.array(levels) * (n - 1)
    below = np.floor(place).astype(int)
    neighbors = np.concatenate([below, np.minimum(below + 1, n - 1)])
    return neighbors, tuple(np.unique(neighbors).tolist()), place - below


@cache
def pairing(number: int, n_draws: int) -> np.ndarray:
    """Return the order in which the draws of outcome `number` are paired with those of other outcomes.

    Models of different outcomes are fitted separately, and their draws come from the same random streams:
    without a (fixed) permutation, draws of different outcomes would be correlated artificially.
    """
    order = np.random.default_rng([1, number]).permutation(n_draws)
    order.flags.writeable = False
    return order
