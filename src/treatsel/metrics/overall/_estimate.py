"""Wald estimate shared by the overall metrics."""

import numpy as np

from treatsel._checks import FloatArray
from treatsel._stats.clusters import Clusters
from treatsel._stats.estimate import Estimate, estimate_of
from treatsel._stats.vectors import Scored

ONE_CLASS = "the outcome has one class only"


def _estimate(
    data: Scored,
    value: float,
    parts: FloatArray,
    clustering: Clusters,
    *,
    level: float,
    low: float = -np.inf,
    high: float = np.inf,
) -> Estimate:
    se = clustering.error(parts)
    limits = clustering.limits(value, se, level, low=low, high=high)
    return estimate_of(data, value, limits, se=se, level=level, method=clustering.method("Wald", se))
