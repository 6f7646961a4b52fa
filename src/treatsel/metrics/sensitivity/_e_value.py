"""E-value: strength of unmeasured confounding that would explain away an association."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq

from treatsel._checks import check_binary, check_choice, check_level, check_weights
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import quantile_of
from treatsel._stats.resampling import percentile_interval
from treatsel._stats.vectors import check_labels, check_patients, ordered_labels
from treatsel.errors import InputError
from treatsel.metrics.sensitivity._marginal_model import Bounds

LARGEST = 1e6  # upper end of the search for a limit, as a Lambda or a bias factor


@dataclass(frozen=True, kw_only=True, repr=False)
class EValue(Summarized):
    """Least strength of unmeasured confounding that could explain away an association.

    Attributes
    ----------
    value : float
        Risk ratio, 1 or more, by which a confounder must be associated with the arm **and** with the
        outcome, beyond the measured covariates, to explain away the estimate.
    e_value_ci : float
        The same for the confidence limit nearer to no association; 1 if the interval includes no
        association, NaN if no limit was given.
    ratio : float
        The observed risk ratio (for a difference: the higher over the lower rate).
    measure : str
        "risk ratio" or "risk difference".
    """

    value: float
    e_value_ci: float
    ratio: float
    measure: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])


def e_value(ratio: float, *, lower: float | None = None, upper: float | None = None) -> EValue:
    """E-value of a risk ratio: the least confounding that could explain it away.

    Parameters
    ----------
    ratio : float
        Risk ratio, above 0. (For an odds ratio of a common outcome, give its square root.)
    lower, upper : float, optional
        Confidence limits of the ratio.

    Returns
    -------
    EValue
        1 or more; higher is more robust.

    Raises
    ------
    InputError
        If the ratio is not above 0, or lies outside its limits.

    References
    ----------
    VanderWeele & Ding (2017), Annals of Internal Medicine 167(4), 268-274. doi:10.7326/M16-2607

    Examples
    --------
    >>> found = e_value(10.73, lower=8.02, upper=14.36)
    >>> round(found.value, 1), round(found.e_value_ci, 1)
    (20.9, 15.5)
    """
    if not 0 < ratio < np.inf:
        raise InputError(f"ratio is {ratio}; it must be a risk ratio above 0.")
    low, high = (NAN if limit is None else float(limit) for limit in (lower, upper))
    if low > ratio or high < ratio or low < 0:
        raise InputError(f"lower and upper ({low:g}, {high:g}) must be limits of the ratio, {ratio:g}.")
    near = low if ratio >= 1 else high
    crosses = near <= 1 if ratio >= 1 else near >= 1
    limit = NAN if np.isnan(near) else 1.0 if crosses else _of_bias(near)
    return EValue(value=_of_bias(ratio), e_value_ci=limit, ratio=float(ratio), measure="risk ratio")


def e_value_of_difference(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    *,
    arms: tuple[Any, Any],
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> EValue:
    """E-value of the risk difference between two arms.

    Under confounding with bias factor B, the difference is at least (p1 - p0 B)(f + (1 - f) / B), where p1
    is the higher rate, p0 the lower, and f the share of patients in the arm with the higher rate.
    `e_value_ci` is the E-value of the B at which the lower confidence limit of this expression (normal,
    delta method) is 0.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; only the two arms are used.
    arms : tuple of two labels
        The arms compared; their order does not matter.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    EValue
        1 or more; infinite if the lower rate is 0; 1 if there is no difference.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or an arm does not occur.

    References
    ----------
    Ding & VanderWeele (2016), Epidemiology 27(3), 368-377. doi:10.1097/EDE.0000000000000457

    Examples
    --------
    >>> y, arm = [1] * 92 + [0] * 53 + [1] * 140 + [0] * 179, ["CBT"] * 145 + ["SSRI"] * 319
    >>> found = e_value_of_difference(y, arm, arms=("CBT", "SSRI"))
    >>> round(found.value, 2), round(found.e_value_ci, 2)
    (2.25, 1.72)
    """
    outcome, level = check_binary("y_true", y_true), check_level(level)
    check_patients(y_true=y_true, received=received, sample_weight=sample_weight)
    labels = check_labels("received", received)
    weight = check_weights("sample_weight", sample_weight, len(outcome))
    counts = []
    for arm in arms:
        check_choice("arms", arm, ordered_labels(labels[weight > 0]))
        counts.append((float(weight @ (labels == arm)), float(weight @ (outcome * (labels == arm)))))
    (n1, events1), (n0, events0) = sorted(counts, key=lambda count: -count[1] / count[0])
    p1, p0, f = events1 / n1, events0 / n0, n1 / (n1 + n0)
    variances = p1 * (1 - p1) / n1, p0 * (1 - p0) / n0, f * (1 - f) / (n1 + n0)
    about: dict[str, Any] = {"ratio": p1 / p0 if p0 else np.inf, "measure": "risk difference"}
    if p1 == p0:
        return EValue(value=1.0, e_value_ci=1.0, **{**about, "ratio": 1.0})

    def near_limit(bias: float) -> float:
        share, rest = f + (1 - f) / bias, p1 - p0 * bias
        variance = share**2 * (variances[0] + bias**2 * variances[1])
        variance += rest**2 * (1 - 1 / bias) ** 2 * variances[2]
        return float(rest * share - quantile_of(level) * np.sqrt(variance))

    if near_limit(1.0) <= 0:
        limit = 1.0
    else:
        end = p1 / p0 if p0 else LARGEST
        limit = np.inf if near_limit(end) > 0 else _of_bias(float(brentq(near_limit, 1.0, end)))
    return EValue(value=_of_bias(about["ratio"]), e_value_ci=limit, **about)


def _of_bias(ratio: float) -> float:
    """Return the E-value of a risk ratio."""
    if ratio == np.inf:
        return np.inf
    above = max(ratio, 1 / ratio)
    return float(above + np.sqrt(above * (above - 1)))


def _low(draws: Bounds, level: float) -> float:
    return percentile_interval(draws.lowest, level).lower


def _high(draws: Bounds, level: float) -> float:
    return percentile_interval(draws.highest, level).upper


def _near(bounds: Bounds, start: float) -> float:
    """Return the bound nearer to no gain, as a distance from no gain."""
    return float(bounds.lowest[0] if start > 0 else -bounds.highest[0])


def _near_limit(draws: Bounds, start: float, level: float) -> float:
    return _low(draws, level) if start > 0 else -_high(draws, level)
