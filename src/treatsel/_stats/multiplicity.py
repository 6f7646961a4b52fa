"""Adjustment of p values for multiple tests."""

import numpy as np

from treatsel._checks import FloatArray


def holm(p_values: FloatArray) -> FloatArray:
    """Return p values adjusted so that the chance of any false alarm is at most the level.

    Whatever the dependence between the tests. A rate of false discoveries would be the wrong promise: the
    tests are few, and a single alarm sets people to work.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70. https://www.jstor.org/stable/4615733
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
