"""A proportion among some of the patients, with its interval."""

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
    """Return the share of ones among the patients that `own` picks: Wilson, or cluster-robust Wald."""
    part, values, clusters = data.subset(own), values[own], clustering.subset(own)
    if not own.any():
        return not_estimable("nobody to count", n=0, n_events=0, level=level)
    value, se = part.mean(values), clusters.error(values, part.weight)
    if clustering.codes is not None:
        limits, method = clusters.limits(value, se, level, low=0, high=1), clusters.method("Wald", se)
    else:
        low, high = wilson(np.array([part.weight @ values]), np.array([part.total]), level)
        limits, method = Interval(float(low[0]), float(high[0])), "Wilson"
    return estimate_of(part, value, limits, se=se, level=level, method=method)
