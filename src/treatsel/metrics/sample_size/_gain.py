"""Sample size for the gain of a rule; public through `treatsel.metrics.sample_size`."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from scipy.special import ndtri

from treatsel._checks import check_level
from treatsel._stats.intervals import quantile_of
from treatsel.errors import InputError
from treatsel.metrics.sample_size._result import Criterion, SampleSize, check_between

LEAST_GAIN = 1e-6  # for which a study can be planned


def gain_sample_size(
    *,
    differs: float,
    prevalence: float,
    allocation: float | Sequence[float],
    r2: float = 0.0,
    gain: float | None = None,
    spread: float = 0.0,
    half_width: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
) -> SampleSize:
    """Sample size to estimate, or to show, the gain of recommendations over the best single arm.

    The gain is the mean of the doubly robust score of the recommended arm minus that of the best arm. The
    difference is 0 where both are the same arm, so only the proportion `differs` of the patients
    contributes to its variance:

        V = s (v_r / e_r + v_b / e_b + d^2 + spread^2) - (s d)^2,    v_k = p_k (1 - p_k) (1 - R2)

    with s = `differs`; e_r, e_b the probabilities of receiving the recommended and the best arm; p_b =
    `prevalence`, p_r = p_b + d the outcome rates of such patients under each; d = `gain` / s their mean
    benefit. V is exact for known probabilities of the arms and calibrated predicted benefits. Then

        n = (z_level / half_width)^2 V    and    n = ((z_level + z_power) / gain)^2 V.

    If s is small, the gain is precise but also small: the half-width must be judged relative to s.

    Parameters
    ----------
    differs : float
        Proportion of patients whose recommended arm is not the best single arm, in (0, 1].
    prevalence : float
        Proportion of these patients with the outcome under the best single arm, in (0, 1).
    allocation : float or (float, float)
        Probability, in (0, 1), of receiving the recommended and the best arm (one number if it is the same
        for both); with several recommended arms, the harmonic mean of their probabilities.
    r2 : float, default 0
        Proportion of the variance of the outcome within an arm that the predictions in the scores explain
        (the scaled Brier score), in (-1, 1). 0 is no better than the outcome rate of each arm.
    gain : float, optional
        Anticipated gain over **all** patients, within (-differs, differs); adds the criterion "power".
    spread : float, default 0
        Standard deviation of the predicted benefit among patients whose recommendation differs.
    half_width : float, optional
        Half-width of the confidence interval of the gain; adds the criterion "half-width".
    power : float, default 0.8
        Probability that the interval excludes 0 if the true gain is `gain`.
    level : float, default 0.95
        Confidence level of the interval.

    Returns
    -------
    SampleSize
        Number of patients by criterion; `assumptions` holds d and the standard deviation of one patient's
        score difference. For an outcome observed in a proportion q of the patients, divide n by q; for sites,
        multiply by 1 + (patients per site - 1) x intraclass correlation.

    Raises
    ------
    InputError
        If neither `gain` nor `half_width` is given, or a number is out of range.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818
    Hahn (1998), Econometrica 66(2), 315-331. doi:10.2307/2998560

    Examples
    --------
    >>> print(gain_sample_size(differs=0.3, prevalence=0.45, allocation=0.5, r2=0.1, gain=0.03))
    2,350 patients are needed for the gain; binding criterion: power.
    """
    if gain is None and half_width is None:
        raise InputError("Give the gain to be shown, the half-width of its interval, or both.")
    check_between("prevalence", prevalence, 0, 1)
    check_between("r2", r2, -1, 1)
    check_between("spread", spread, 0, math.inf, closed=True)
    if check_between("differs", differs, 0, 1, closed=True) == 0:
        raise InputError(
            "differs is 0: the rule recommends the best single arm for all patients, so there is no gain."
        )
    z = quantile_of(check_level(level))
    benefit = 0.0 if gain is None else check_between("gain", gain, -differs, differs) / differs
    if gain is not None and abs(gain) < LEAST_GAIN:
        raise InputError(f"gain is {gain!r}; no study can show a gain smaller than {LEAST_GAIN:g}.")
    rates = prevalence + benefit, prevalence
    check_between("The outcome rate under the recommended arm, prevalence + gain / differs,", rates[0], 0, 1)
    noise = sum(p * (1 - p) * (1 - r2) / e for p, e in zip(rates, _pair(allocation), strict=True))
    variance = differs * (noise + benefit**2 + spread**2) - (differs * benefit) ** 2
    assumptions = {
        "share that differs": float(differs),
        "benefit of those who differ": benefit,
        "sd of the score difference": math.sqrt(variance),
    }
    return SampleSize(
        purpose="gain",
        criteria=tuple(_criteria(variance, gain, half_width, z=z, power=power, level=level)),
        prevalence=prevalence,
        assumptions=assumptions,
    )


def _criteria(
    variance: float, gain: float | None, half_width: float | None, *, z: float, power: float, level: float
) -> list[Criterion]:
    expected = math.nan if gain is None else gain
    found = []
    if half_width is not None:
        se = check_between("half_width", half_width, 0, math.inf) / z
        about = f"half-width of the {100 * level:g}% interval of the gain"
        found.append(("half-width", se, half_width, about))
    if gain is not None:
        if gain == 0:
            raise InputError("gain is 0: no sample size can show it. Leave it out and give a half-width.")
        reach = z + float(ndtri(check_between("power", power, 0.5, 1)))
        about = f"probability that the {100 * level:g}% interval of the gain excludes 0"
        found.append(("power", abs(gain) / reach, power, about))
    return [
        Criterion(
            name=name, n=math.ceil(variance / se**2), expected=expected, target=target, se=se, about=about
        )
        for name, se, target, about in found
    ]


def _pair(allocation: float | Sequence[float]) -> tuple[float, float]:
    """Return the probabilities of the recommended and of the best arm."""
    pair: Any = (allocation, allocation) if isinstance(allocation, Real) else allocation
    if len(pair) != 2:
        raise InputError(f"allocation holds {len(pair)} numbers; give one, or two (recommended, best).")
    recommended, best = (check_between("allocation", share, 0, 1) for share in pair)
    if recommended + best > 1 + 1e-12:
        raise InputError(f"allocation adds up to {recommended + best:g}; for two arms the sum is at most 1.")
    return recommended, best
