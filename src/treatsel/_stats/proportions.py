"""A proportion in a subset of the patients, with its interval."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel._stats.clusters import Clusters
from treatsel._stats.estimate import Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, wilson
from treatsel._stats.vectors import Scored


def share_of(
    values: FloatArray, own: npt.NDArray[np.bool_], data: Scored, clustering: Clusters, level: float
) -> Estimate:
    """Return the share of ones among the patients that `own` selects: Wilson, or a robust Wald interval."""
    part, clusters = data.subset(own), clustering.subset(own)
    if not own.any():
        return not_estimable("there are no such patients", n=0, n_events=0, level=level)
    value = part.mean(values[own])
    if data.weights.sampling:  # a domain of random size: all patients enter the variance (as in R's survey)
        parts = np.where(own, values - value, 0.0) * data.total / part.total
        se, clusters = clustering.error(parts), clustering
    else:
        se = clusters.error(values[own])
    if clustering.is_robust:
        limits, method = clusters.limits(value, se, level, low=0, high=1), clusters.method("Wald", se)
    else:
        low, high = wilson(np.array([part.weight @ values[own]]), np.array([part.total]), level)
        limits, method = Interval(float(low[0]), float(high[0])), "Wilson"
    return estimate_of(part, value, limits, se=se, level=level, method=method)
