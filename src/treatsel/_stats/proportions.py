"""A proportion among some of the patients, with its interval."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel._stats.clusters import Clusters
from treatsel._stats.estimate import Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, wilson
from treatsel._stats.vectors import Scored


def share_of(
    values: FloatArray, own: npt.NDArray[np.bool_], data: Scored, clusters: Clusters, level: float
) -> Estimate:
    """Return the share of ones among the patients that `own` picks: Wilson, or cluster-robust Wald."""
    part, values, groups = data.subset(own), values[own], clusters.subset(own)
    if not own.any():
        return not_estimable("nobody to count", n=0, n_events=0, level=level)
    value, se = part.mean(values), groups.error(values, part.weight)
    if clusters.codes is not None:
        limits, method = groups.limits(value, se, level, low=0, high=1), groups.method("Wald", se)
    else:
        low, high = wilson(np.array([part.weight @ values]), np.array([part.total]), level)
        limits, method = Interval(float(low[0]), float(high[0])), "Wilson"
    return estimate_of(part, value, limits, se=se, level=level, method=method)
