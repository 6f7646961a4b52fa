"""Result type of the metrics: an estimate with its interval and its number of patients."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._reporting.summary import Summarized
from treatsel._stats.intervals import Interval, quantile_of, two_sided_p
from treatsel._stats.vectors import Scored

NAN = float("nan")


@dataclass(frozen=True, kw_only=True, repr=False)
class Estimate(Summarized):
    """One number with its interval.

    Attributes
    ----------
    value, lower, upper : float
        Estimate and confidence limits; NaN where the data do not allow one.
    n : int
        Patients; with weights that are counts, the sum of the weights, rounded.
    n_events : int or None
        Patients among them with outcome 1; None if the function does not use the outcome.
    level : float
        Confidence level of [lower, upper].
    method : str
        How the interval was computed, or why there is none.
    se : float, default NaN
        Standard error on the scale that `method` names.
    p_value : float, default NaN
        Two-sided, for no difference; NaN where nothing is tested.

    Examples
    --------
    >>> Estimate(value=0.7, lower=0.6, upper=0.8, n=90, n_events=40, level=0.95, method="Wald").value
    0.7
    """

    value: float
    lower: float
    upper: float
    n: int
    n_events: int | None
    level: float
    method: str
    se: float = NAN
    p_value: float = NAN

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row and a column per field."""
        return pd.DataFrame([self.to_dict()])


def widened(estimate: Any, spread: float, *, df: float | None = None, method: str) -> Any:
    """Return an estimate (of any class with limits) whose interval includes a further standard error.

    Each half of the interval becomes the root of the sum of squares of itself and of the half that `spread`
    alone would have, which for a Wald interval is that of the combined standard error.
    """
    quantile = quantile_of(estimate.level, df=df)
    below, above = (
        float(np.hypot(half, quantile * spread))
        for half in (estimate.value - estimate.lower, estimate.upper - estimate.value)
    )
    se = float(np.hypot(estimate.se, spread))
    p = getattr(estimate, "p_value", NAN)
    return dataclasses.replace(
        estimate,
        lower=estimate.value - below,
        upper=estimate.value + above,
        se=se,
        p_value=p if p != p else max(p, two_sided_p(estimate.value, se, df=df)),
        method=f"{estimate.method}; {method}",
    )


def not_estimable(reason: str, *, n: int, n_events: int | None, level: float, value: float = NAN) -> Estimate:
    """Return an estimate without interval (and by default without value) whose `method` gives the reason."""
    method = f"not estimable: {reason}"
    return Estimate(value=value, lower=NAN, upper=NAN, n=n, n_events=n_events, level=level, method=method)


def estimate_of(
    data: Scored,
    value: float,
    limits: Interval,
    *,
    se: float,
    level: float,
    method: str,
    p_value: float = NAN,
) -> Estimate:
    """Return an estimate with the numbers of patients and of events in `data`."""
    return Estimate(
        value=float(value),
        lower=limits.lower,
        upper=limits.upper,
        n=data.n,
        n_events=data.n_events,
        level=level,
        method=method,
        se=float(se),
        p_value=p_value,
    )
