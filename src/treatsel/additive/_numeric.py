"""Functions of arrays that every score ends in: the same bits for one patient as for a million."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

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
    return _between(values, levels)


def logistic_quantiles(logits: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Return quantiles of logistic(logits) over the last axis, shape (n_levels, ...)."""
    return _between(logits, levels, logistic)  # which keeps the order


def _between(
    values: FloatArray, levels: Sequence[float], function: Callable[[FloatArray], FloatArray] | None = None
) -> FloatArray:
    neighbours, share = _places(values.shape[-1], tuple(levels))
    found = np.sort(values, axis=-1)[..., neighbours]
    if function is not None:
        found = function(found)
    low, high = found[..., : len(share)], found[..., len(share) :]
    step = high - low
    between = np.where(share < 0.5, low + step * share, high - step * (1 - share))
    return between.transpose(-1, *range(between.ndim - 1))


@lru_cache(maxsize=64)  # a service asks for the same ones again and again
def _places(n: int, levels: tuple[float, ...]) -> tuple[np.ndarray, FloatArray]:
    """Return the ranks below all quantiles, then those above; and how far these lie from the former."""
    place = np.array(levels) * (n - 1)
    below = np.floor(place).astype(int)
    return np.concatenate([below, np.minimum(below + 1, n - 1)]), place - below


@cache
def pairing(number: int, n_draws: int) -> np.ndarray:
    """Return the order in which the draws of outcome `number` meet those of other outcomes.

    Models of different outcomes were fitted apart: their draws are paired at random, always alike.
    """
    order = np.random.default_rng([1, number]).permutation(n_draws)
    order.flags.writeable = False
    return order
