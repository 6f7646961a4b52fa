"""Value of information if the outcome rates of the arms have normal posterior distributions.

References
----------
Raiffa & Schlaifer (1961), Applied Statistical Decision Theory.
"""

import math
from typing import Any

import numpy as np
from scipy import integrate, special

from treatsel._checks import FloatArray, check_number, check_same_length, check_vector
from treatsel.errors import InputError

_REACH = 10.0  # standard deviations from the mean beyond which a normal distribution is 0 or 1


def evpi_of_difference(mean: float, sd: float) -> float:
    """Expected value of perfect information about the difference of two arms, per patient.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation of the posterior distribution of the difference.

    Returns
    -------
    float
        In the unit of the difference, at least 0.

    Raises
    ------
    InputError
        If `sd` is negative or a number is not finite.

    Examples
    --------
    >>> round(evpi_of_difference(0.02, 0.05), 4)
    0.0115
    """
    mean, sd = _number("mean", mean, low=-math.inf), _number("sd", sd, low=0.0)
    if sd == 0:
        return 0.0
    density = math.exp(-0.5 * (mean / sd) ** 2) / math.sqrt(2 * math.pi)
    return max(0.0, sd * density - abs(mean) * float(special.ndtr(-abs(mean) / sd)))


def evsi_of_difference(mean: float, sd: float, *, n: int, outcome_sd: float) -> float:
    """Expected value, per later patient, of a trial of two arms with `n` patients in equal numbers.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation of the distribution of the difference before the trial.
    n : int
        Patients of the trial.
    outcome_sd : float
        Standard deviation of the outcome within an arm.

    Returns
    -------
    float
        In the unit of the difference, at least 0 and at most `evpi_of_difference`.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> round(evsi_of_difference(0.02, 0.05, n=400, outcome_sd=0.5), 4)
    0.0063
    """
    sd, n = _number("sd", sd, low=0.0), int(_number("n", n, low=1.0))
    variance = 4 * _number("outcome_sd", outcome_sd, low=0.0) ** 2 / n  # of the difference in the trial
    if sd == 0:
        return 0.0
    return evpi_of_difference(mean, sd**2 / math.sqrt(sd**2 + variance))


def evpi_of_arms(means: Any, sds: Any) -> float:
    """Expected value of perfect information about several arms with independent normal distributions.

    Parameters
    ----------
    means, sds : array-like of shape (n_arms,)
        Means and standard deviations, above 0.

    Returns
    -------
    float
        Expected maximum minus maximum of the means, at least 0.

    Raises
    ------
    InputError
        If lengths differ or a standard deviation is not positive.

    Examples
    --------
    >>> round(evpi_of_arms([0.48, 0.46, 0.45, 0.40], [0.03, 0.05, 0.02, 0.06]), 4)
    0.0186
    """
    mean, sd = _arms(means, sds)
    low, high = float((mean - _REACH * sd).min()), float((mean + _REACH * sd).max())
    below = integrate.quad(
        lambda at: special.ndtr((at - mean) / sd).prod(), low, high, points=np.unique(mean), **_PRECISION
    )[0]
    return float(max(0.0, high - below - mean.max()))


def p_best_of_arms(means: Any, sds: Any) -> FloatArray:
    """Probability that each of several arms is the best, for independent normal distributions.

    Parameters
    ----------
    means, sds : array-like of shape (n_arms,)
        Means and standard deviations, above 0.

    Returns
    -------
    ndarray of shape (n_arms,)
        Probabilities with the sum 1.

    Raises
    ------
    InputError
        If lengths differ or a standard deviation is not positive.

    Examples
    --------
    >>> p_best_of_arms([0.5, 0.5], [0.1, 0.1]).round(6).tolist()
    [0.5, 0.5]
    """
    mean, sd = _arms(means, sds)

    def density(at: float, arm: int) -> float:
        standard = (at - mean) / sd
        others = np.delete(special.ndtr(standard), arm).prod()
        return float(np.exp(-0.5 * standard[arm] ** 2) / (sd[arm] * math.sqrt(2 * math.pi)) * others)

    found = [
        integrate.quad(
            density,
            mean[arm] - _REACH * sd[arm],
            mean[arm] + _REACH * sd[arm],
            args=(arm,),
            points=[mean[arm]],
            **_PRECISION,
        )[0]
        for arm in range(len(mean))
    ]
    return np.asarray(found)


_PRECISION = {"epsabs": 1e-12, "epsrel": 1e-10, "limit": 500}


def _arms(means: Any, sds: Any) -> tuple[FloatArray, FloatArray]:
    mean, sd = check_vector("means", means), check_vector("sds", sds)
    check_same_length(means=mean, sds=sd)
    if not len(mean) or (sd <= 0).any():
        raise InputError("sds must be above 0, and there must be at least one arm.")
    return mean, sd


def _number(name: str, value: Any, *, low: float) -> float:
    if not math.isfinite(check_number(name, value)) or value < low:
        raise InputError(f"{name} is {value}; it must be a finite number of at least {low:g}.")
    return float(value)
