"""Unmeasured confounding: how strong it must be to explain a contrast, or a gain, away."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_choice,
    check_level,
    check_probability,
    check_vector,
    check_weights,
)
from treatsel._stats.by_arm_tables import check_received_probability
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import quantile_of
from treatsel._stats.resampling import Resamples, percentile_interval
from treatsel._stats.vectors import Labels, check_labels, check_patients, ordered_labels
from treatsel.errors import InputError
from treatsel.metrics._marginal_model import Bounds, Sums, statistics_of
from treatsel.metrics._sensitivity_results import EValue, MarginalSensitivity

__all__ = ["EValue", "MarginalSensitivity", "e_value", "e_value_of_difference", "policy_sensitivity"]

LARGEST = 1e6  # Lambda, or bias factor, up to which a limit is looked for


def e_value(ratio: float, *, lower: float | None = None, upper: float | None = None) -> EValue:
    """E-value of a risk ratio: the least confounding that could explain it away.

    Parameters
    ----------
    ratio : float
        Risk ratio, above 0. (An odds ratio of a frequent outcome: its square root.)
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
    >>> round(found.value, 1), round(found.limit, 1)
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
    return EValue(value=_of_bias(ratio), limit=limit, ratio=float(ratio), measure="risk ratio")


def e_value_of_difference(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    *,
    arms: tuple[Any, Any],
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> EValue:
    """E-value of the risk difference between two arms.

    Confounding with bias factor B leaves a difference of at least (p1 - p0 B)(f + (1 - f) / B), where p1 is
    the higher rate and f the share of its arm. The limit is the B at which the lower confidence limit of
    that (normal, delta method) is 0.

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
    >>> round(found.value, 2), round(found.limit, 2)
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
        return EValue(value=1.0, limit=1.0, **{**about, "ratio": 1.0})

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
    return EValue(value=_of_bias(about["ratio"]), limit=limit, **about)


def policy_sensitivity(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    recommended: npt.ArrayLike,
    *,
    propensity: npt.ArrayLike,
    best_arm: Any = None,
    lambdas: Sequence[float] = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0),
    method: Literal["hajek", "ipw"] = "hajek",
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 500,
    random_state: int = 0,
) -> MarginalSensitivity:
    """Bounds of a policy's value, and of its gain over the best single arm, under unmeasured confounding.

    Marginal sensitivity model: for each patient and arm, the odds of the arm given what was not measured
    (the patient's own outcome, even) differ by a factor of at most Lambda from the odds given what was. So
    the weight 1 / propensity may be anything from 1 + (1/e - 1) / Lambda to 1 + (1/e - 1) Lambda.

    The gain is that of the patients whose recommended arm is not the best single one, times their share;
    the others gain nothing whatever was not measured. (At Lambda 1 with "hajek" it is therefore a little
    less noisy than the difference of two values of `policy_value`.)

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Remission (1 is good), 0 or 1.
    received, recommended : array-like of shape (n_patients,)
        Arm labels.
    propensity : array-like of shape (n_patients,)
        Probability, in (0, 1], of the received arm given the covariates; taken as given. In a trial nothing
        is confounded, and Lambda is 1.
    best_arm : label, optional
        The arm to compare with. Without it, the received arm with the highest weighted rate (Hajek).
    lambdas : sequence of float
        Values of Lambda, each at least 1.
    method : {"hajek", "ipw"}, default "hajek"
        Weighted mean, or weighted sum over the number of patients. With "hajek" bounds stay within [0, 1].
    groups : array-like of shape (n_patients,), optional
        Sites: resampled whole.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.
    n_resamples, random_state : int
        Of the percentile bootstrap, which covers the whole range from bound to bound.

    Returns
    -------
    MarginalSensitivity
        With the Lambda at which the sign of the gain is lost. NaN where no patient is concordant.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a propensity is outside (0, 1], or a Lambda is below 1.

    References
    ----------
    Tan (2006), Journal of the American Statistical Association 101(476), 1619-1637.
    doi:10.1198/016214506000000023
    Zhao, Small & Bhattacharya (2019), JRSS B 81(4), 735-761. doi:10.1111/rssb.12327
    Kallus & Zhou (2021), Management Science 67(5), 2870-2890. doi:10.1287/mnsc.2020.3699

    Examples
    --------
    >>> received, recommended = ["CBT", "SSRI"] * 40, ["SSRI"] * 60 + ["CBT"] * 20
    >>> y = [0, 1, 1, 1, 0, 1, 0, 0] * 10
    >>> found = policy_sensitivity(y, received, recommended, propensity=[0.5] * 80, best_arm="CBT")
    >>> found.to_frame().query("measure == 'gain' and Lambda in (1, 2)")[["lowest", "highest"]].round(2)
        lowest  highest
    6     0.38     0.38
    10    0.15     0.54
    >>> round(found.lambda_estimate, 2), round(found.lambda_interval, 2)
    (3.01, 1.75)
    """
    check_choice("method", method, ["hajek", "ipw"])
    outcome, level = check_binary("y_true", y_true), check_level(level)
    probability = check_received_probability("propensity", check_probability("propensity", propensity))
    patients = {"y_true": y_true, "received": received, "recommended": recommended, "propensity": propensity}
    n = check_patients(**patients, groups=groups, sample_weight=sample_weight)
    weight, grid = check_weights("sample_weight", sample_weight, n), check_vector("lambdas", list(lambdas))
    if not len(grid) or (grid < 1).any():
        raise InputError("lambdas must hold values of 1 or more; 1 means no unmeasured confounding.")
    given, advised = check_labels("received", received), check_labels("recommended", recommended)
    if best_arm is None:
        best_arm = _best_arm(outcome, given, probability, weight)
    check_choice("best_arm", best_arm, ordered_labels(given[weight > 0]))
    columns = statistics_of(outcome, given, advised, best_arm, probability)
    sums = Sums((weight @ columns)[None, :], method)
    resamples = Resamples.of(weight, groups=groups, n_resamples=n_resamples, seed=random_state)
    drawn = Sums(np.array([one @ columns for one in resamples]), method)
    rows = []
    for measure in ("value", "gain"):
        for Lambda in grid:
            point, spread = sums.bounds(measure, Lambda), drawn.bounds(measure, Lambda)
            limits = {"lower": _low(spread, level), "upper": _high(spread, level)}
            bounds = {"lowest": float(point.lowest[0]), "highest": float(point.highest[0])}
            rows.append({"measure": measure, "Lambda": float(Lambda), **bounds, **limits})
    start = float(sums.bounds("gain", 1.0).lowest[0])
    return MarginalSensitivity(
        table=pd.DataFrame(rows),
        lambda_estimate=_lost(start, lambda L: _near(sums.bounds("gain", L), start)),
        lambda_interval=_lost(start, lambda L: _near_limit(drawn.bounds("gain", L), start, level)),
        best_arm=best_arm,
        n=round(float(weight.sum())),
        n_events=round(float(weight @ outcome)),
        n_differs=round(float(weight @ (advised != best_arm))),
        level=level,
        method=f"{method}, percentile bootstrap, {n_resamples} resamples"
        + ("" if groups is None else " of groups"),
    )


def _of_bias(ratio: float) -> float:
    """Return the E-value of a risk ratio."""
    if ratio == np.inf:
        return np.inf
    above = max(ratio, 1 / ratio)
    return float(above + np.sqrt(above * (above - 1)))


def _best_arm(outcome: FloatArray, received: Labels, probability: FloatArray, weight: FloatArray) -> Any:
    inverse = weight / probability
    means = {
        arm: float((inverse * (received == arm)) @ outcome / inverse[received == arm].sum())
        for arm in ordered_labels(received[weight > 0])
    }
    return max(means, key=lambda arm: means[arm])


def _low(draws: Bounds, level: float) -> float:
    return percentile_interval(draws.lowest, level).lower


def _high(draws: Bounds, level: float) -> float:
    return percentile_interval(draws.highest, level).upper


def _near(bounds: Bounds, start: float) -> float:
    """Return the bound on the side of no gain, as a distance from it."""
    return float(bounds.lowest[0] if start > 0 else -bounds.highest[0])


def _near_limit(draws: Bounds, start: float, level: float) -> float:
    return _low(draws, level) if start > 0 else -_high(draws, level)


def _lost(start: float, distance: Any) -> float:
    """Return the least Lambda at which the distance from no gain is 0; it falls with Lambda."""
    if not np.isfinite(start) or not np.isfinite(distance(1.0)):
        return NAN
    if start == 0 or distance(1.0) <= 0:
        return 1.0
    if distance(LARGEST) > 0:
        return np.inf
    return float(np.exp(brentq(lambda log: distance(np.exp(log)), 0.0, np.log(LARGEST), xtol=1e-10)))
