"""Adjustment of p values for multiple tests."""

import numpy as np

from treatsel._checks import FloatArray


def holm(p_values: FloatArray) -> FloatArray:
    """Return Holm-adjusted p values: the probability of any false rejection is at most the level.

    This holds under any dependence between the tests. Control of the false discovery rate would be too weak
    here: the tests are few, and a single alarm leads to action. NaN stays NaN and does not count as a test.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70. https://www.jstor.org/stable/4615733
    """
    from statsmodels.stats.multitest import multipletests

    adjusted = np.full(len(p_values), np.nan)
    tested = np.isfinite(p_values)
    if tested.any():
        adjusted[tested] = multipletests(p_values[tested], method="holm")[1]
    return adjusted
