"""Cochran's Q: whether estimates differ by more than their standard errors explain."""

from typing import NamedTuple

from scipy.special import chdtrc

from treatsel._checks import FloatArray


class CochranQ(NamedTuple):
    """Cochran's statistic, its degrees of freedom and the p value for no differences."""

    statistic: float
    df: int
    p_value: float


def cochran_q(values: FloatArray, variances: FloatArray) -> CochranQ:
    """Return the weighted sum of squares around the fixed-effect mean; NaN with fewer than two estimates.

    Cochran (1954), Biometrics 10(1), 101-129. doi:10.2307/3001666
    """
    if len(values) < 2:
        return CochranQ(float("nan"), 0, float("nan"))
    weight = 1 / variances
    statistic = float(weight @ (values - weight @ values / weight.sum()) ** 2)
    df = len(values) - 1
    return CochranQ(statistic, df, float(chdtrc(df, statistic)))
