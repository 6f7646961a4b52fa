"""Functions of arrays that every score ends in: the same bits for one patient as for a million."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from treatsel._checks import FloatArray


def logistic(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)); 0 where the exponential overflows."""
    with np.errstate(over="ignore"):
        total = np.exp(-x)
    total += 1.0
    return np.asarray(np.divide(1.0, total, out=total))


def softmax(x: FloatArray) -> FloatArray:
    """Return probabilities along the last axis, which add up to 1."""
    parts = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(parts / parts.sum(axis=-1, keepdims=True))


def quantiles(values: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return quantiles over the last axis, shape (n_levels, ...), as `numpy.quantile` gives them (type 7).

    References
    ----------
    Hyndman & Fan (1996), The American Statistician 50(4), 361-365. doi:10.1080/00031305.1996.10473566
    """
    below, above, share = _places(values.shape[-1], levels)
    ordered = np.sort(values, axis=-1)
    return _between(ordered[..., below], ordered[..., above], share)


def logistic_quantiles(logits: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return quantiles of logistic(logits) over the last axis, shape (n_levels, ...)."""
    below, above, share = _places(logits.shape[-1], levels)
    ordered = np.sort(logits, axis=-1)  # the logistic function keeps the order
    return _between(logistic(ordered[..., below]), logistic(ordered[..., above]), share)


def _places(n: int, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray, FloatArray]:
    place = np.asarray(levels) * (n - 1)
    below = np.floor(place).astype(int)
    return below, np.minimum(below + 1, n - 1), place - below


def _between(low: FloatArray, high: FloatArray, share: FloatArray) -> FloatArray:
    step = high - low
    return np.asarray(
        np.moveaxis(np.where(share < 0.5, low + step * share, high - step * (1 - share)), -1, 0)
    )


@cache
def pairing(number: int, n_draws: int) -> np.ndarray:
    """Return the order in which the draws of outcome `number` meet those of other outcomes.

    Models of different outcomes were fitted apart: their draws are paired at random, always alike.
    """
    order = np.random.default_rng([1, number]).permutation(n_draws)
    order.flags.writeable = False
    return order
