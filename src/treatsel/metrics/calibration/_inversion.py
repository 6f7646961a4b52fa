"""Intervals of calibration errors by inversion of a test along a path from the predictions to the curve.

The distance of a fitted curve from the predictions is never below 0, and chance alone makes it larger: the
bootstrap adds this chance a second time, so that percentile intervals lie too high in small cohorts and do
not reach 0. A test that simulates the distance under a stated truth has no such bias.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from treatsel._checks import FloatArray
from treatsel.metrics.calibration._curve_refits import ERRORS, CurveRefits, usable_draws

# Strengths at which outcomes are simulated; 0 is perfect calibration and 1 the fitted curve. The limits lie
# between them, by interpolation.
FIRST = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
FURTHER = (2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
EXTREME = 1e-3  # probabilities further along the path than the curve stop at this distance from 0 and 1
# What adds up: the square of an observed distance is about that of the true one plus that of chance; the ECI
# is a mean of squares.
POWERS = (2, 2, 2, 2, 1)
HIGHEST = np.array([1.0, 1.0, 1.0, 1.0, 100.0])  # possible values of the errors
NO_DISTANCE = 1e-8  # of the curve: rounding error, which gives no direction


class Path(NamedTuple):
    """True probabilities at each strength: predictions + strength x direction."""

    score: FloatArray
    direction: FloatArray

    @classmethod
    def of(cls, score: FloatArray, curve: FloatArray, *, distance: float, least: float) -> "Path":
        """Return the path towards the curve, whose mean distance is at least `least` at strength 1.

        A curve that is by luck closer to the predictions than usual under perfect calibration would make the
        steps too short to be rejected. A curve without distance gives no direction: all probabilities
        are then moved up.
        """
        direction = curve - score
        if distance < NO_DISTANCE:
            direction, distance = np.ones_like(score), 1.0
        return cls(score=score, direction=direction * max(1.0, least / distance))

    def at(self, strength: float) -> FloatArray:
        """Return the probabilities at one strength, inside 0 to 1."""
        lowest, highest = np.minimum(self.score, EXTREME), np.maximum(self.score, 1 - EXTREME)
        return np.asarray(np.clip(self.score + strength * self.direction, lowest, highest))


def limits_by_inversion(
    values: FloatArray, refits: CurveRefits, perfect: FloatArray, times: int, *, level: float, seed: int
) -> FloatArray:
    """Return lower and upper limits of the errors, shape (2, n_errors); NaN if too few curves exist."""
    calibrated = usable_draws(perfect if len(perfect) == times else refits.simulated(times, seed))
    if calibrated is None:
        return np.full((2, len(ERRORS)), np.nan)
    least = float(np.median(calibrated[:, 0]))
    path = Path.of(refits.score, refits.curve, distance=float(values[0]), least=least)

    def simulated(strength: float) -> tuple[FloatArray, FloatArray]:
        truth = path.at(strength)
        draws = usable_draws(refits.simulated(times, seed, truth))
        # where hardly any curve exists, outcomes are so extreme that the strength is not the truth
        return refits.errors(truth), np.full_like(calibrated, np.inf) if draws is None else draws

    return np.array(limits_of(values, calibrated, simulated, HIGHEST, level=level))


def limits_of(
    observed: FloatArray,
    calibrated: FloatArray,
    simulated: Callable[[float], tuple[FloatArray, FloatArray]],
    highest: FloatArray,
    *,
    level: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest true value that a test does not reject, for each error.

    Parameters
    ----------
    observed : ndarray of shape (n_errors,)
        Errors of the fitted curve.
    calibrated : ndarray of shape (n_simulations, n_errors)
        Errors of curves fitted to outcomes under perfect calibration.
    simulated : callable
        Gives, for a strength, the true errors and those of simulated outcomes, as `calibrated`.
    highest : ndarray of shape (n_errors,)
        Largest possible values: upper limits if no strength is rejected.

    A strength is rejected if the observed error is above the (1 + level) / 2 quantile of the simulated ones
    (then the lower limit is higher), or below the (1 - level) / 2 quantile (the upper limit is lower). The
    upper limit of an error below its median under perfect calibration is that of the median: a cohort whose
    curve is by luck close to the predictions could otherwise exclude every value (Cowan et al. 2011,
    arXiv:1105.3166, power-constrained limits).
    """
    target = np.maximum(observed, np.median(calibrated, axis=0))
    tails = [(1 - level) / 2, (1 + level) / 2]
    true, below, above = [np.zeros(len(observed))], [], []
    for strength in (*FIRST, *FURTHER):
        if strength:
            value, draws = simulated(strength)
            true.append(value)
        else:
            draws = calibrated
        # quantiles of order (number of draws + 1): the test then has its size with any number of draws
        low, high = np.quantile(draws, tails, axis=0, method="weibull")
        below.append(low)
        above.append(high)
        if strength >= 1 and (low > target).all() and (high >= observed).all():
            break
    lower = _crossing(np.array(true), np.array(above), observed, highest)
    return lower, _crossing(np.array(true), np.array(below), target, highest)


def _crossing(true: FloatArray, quantile: FloatArray, target: FloatArray, highest: FloatArray) -> FloatArray:
    """Return the true values at which quantiles of shape (n_strengths, n_errors) reach their targets.

    Interpolated on the scale on which truth and chance add up.
    """
    found = np.empty(len(target))
    for error, goal in enumerate(target):
        reached = np.flatnonzero(quantile[:, error] >= goal)
        if not len(reached):
            found[error] = highest[error]
        elif not reached[0]:
            found[error] = 0.0
        else:
            pair = slice(reached[0] - 1, reached[0] + 1)
            power = POWERS[error]
            ends, values = quantile[pair, error] ** power, true[pair, error] ** power
            found[error] = np.interp(goal**power, ends, values) ** (1 / power)
    return found
