"""Bootstrap over matched pairs, shared by the metrics of pairs."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from treatsel._checks import FloatArray
from treatsel._stats.estimate import Estimate
from treatsel._stats.resampling import percentile_interval
from treatsel.errors import InputError
from treatsel.metrics.benefit._matching import MatchedPairs

Definition = Literal["mean", "own_arm"]
NAN = float("nan")


def _check_seed(random_state: Any) -> int:
    if not isinstance(random_state, int | np.integer):
        raise InputError(f"random_state is {random_state!r}; it must be a whole number.")
    return int(random_state)


def _draws(
    pairs: MatchedPairs, metric: Callable[[MatchedPairs], list[float]], n_resamples: int, seed: int
) -> FloatArray:
    width = len(metric(pairs))
    drawn = pairs.resampled(n_resamples, seed)
    return np.array([[NAN] * width if sample is None else metric(sample) for sample in drawn])


def _plain(value: float, pairs: MatchedPairs, level: float, method: str) -> Estimate:
    return Estimate(
        value=value, lower=NAN, upper=NAN, n=len(pairs), n_events=None, level=level, method=method
    )


def _percentile(value: float, draws: FloatArray, pairs: MatchedPairs, level: float) -> Estimate:
    limits = percentile_interval(draws, level)
    how = "pairs resampled" if pairs.source is None else "patients resampled and matched again"
    finite = draws[np.isfinite(draws)]
    return Estimate(
        value=value,
        lower=limits.lower,
        upper=limits.upper,
        n=len(pairs),
        n_events=None,
        level=level,
        method=f"percentile bootstrap, {len(draws)} resamples, {how}; {pairs.matched_on}",
        se=float(finite.std(ddof=1)) if len(finite) > 1 else NAN,
    )
