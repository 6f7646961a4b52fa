"""Numerical functions of scores, with bit-equal results for one patient and for many."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive._kernel import order_statistics


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


def quantiles(values: FloatArray, levels: Sequence[float], *, compiled: bool = False) -> FloatArray:
    """Return quantiles over the last axis, shape (n_levels, ...), equal to `numpy.quantile` (type 7).

    The compiled kernel, for two levels, gives the same bits.

    References
    ----------
    Hyndman & Fan (1996), The American Statistician 50(4), 361-365. doi:10.1080/00031305.1996.10473566
    """
    return _between(values, levels, compiled=compiled)


def logistic_quantiles(logits: FloatArray, levels: Sequence[float], *, compiled: bool = False) -> FloatArray:
    """Return quantiles of logistic(logits) over the last axis, shape (n_levels, ...)."""
    # the logistic function is increasing, so only the two neighbors of each quantile are transformed
    return _between(logits, levels, logistic, compiled=compiled)


def _between(
    values: FloatArray,
    levels: Sequence[float],
    function: Callable[[FloatArray], FloatArray] | None = None,
    *,
    compiled: bool,
) -> FloatArray:
    neighbors, kth, nearer, step = _places(values.shape[-1], tuple(levels))
    if compiled and len(levels) == 2 and levels[0] < levels[1]:
        rows = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
        found = order_statistics(rows, *neighbors[:2].tolist()).reshape(*values.shape[:-1], 4)
    else:
        found = np.partition(values, kth, axis=-1)[..., neighbors]
    if function is not None:
        found = function(found)
    n = len(levels)
    between = found[..., nearer] + (found[..., n:] - found[..., :n]) * step
    return between.transpose(-1, *range(between.ndim - 1))


@lru_cache(maxsize=64)  # a service uses the same levels for every patient
def _places(n: int, levels: tuple[float, ...]) -> tuple[np.ndarray, tuple[int, ...], list[int], FloatArray]:
    """Return the ranks below, then above all quantiles; the different ones; and how to go on from there.

    The last two: position, among the first, of the nearer neighbor of each quantile, and the step from it, as
    a share of the distance of both. From the nearer end, as NumPy, no result leaves the two neighbors.
    """
    place = np.array(levels) * (n - 1)
    below = np.floor(place).astype(int)
    neighbors, share = np.concatenate([below, np.minimum(below + 1, n - 1)]), place - below
    nearer = [i if part < 0.5 else i + len(levels) for i, part in enumerate(share.tolist())]
    step = np.where(share < 0.5, share, share - 1)
    return neighbors, tuple(np.unique(neighbors).tolist()), nearer, step


@cache
def pairing(number: int, n_draws: int) -> np.ndarray:
    """Return the order in which the draws of outcome `number` are paired with those of other outcomes.

    Models of different outcomes are fitted separately, and their draws come from the same random streams:
    without a (fixed) permutation, draws of different outcomes would be correlated artificially.
    """
    order = np.random.default_rng([1, number]).permutation(n_draws)
    order.flags.writeable = False
    return order
