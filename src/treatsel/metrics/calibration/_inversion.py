"""Intervals of calibration errors by inversion of a test along paths from the predictions to a curve.

The distance of a fitted curve from the predictions is never below 0, and chance alone makes it larger: the
bootstrap adds this chance a second time, so that percentile intervals lie too high in small cohorts and do
not reach 0. A test that simulates the distance under a stated truth has no such bias.
"""

from typing import NamedTuple

import numpy as np

from treatsel._checks import FloatArray
from treatsel.metrics.calibration._curve_refits import ERRORS, CurveRefits, usable_draws

# Strengths at which outcomes are simulated; 0 is perfect calibration and 1 the fitted curve. Limits between
# them are interpolated. Beyond 1.5 only until every error is rejected.
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
EXTREME = 1e-3  # probabilities further along a path than the curve stop at this distance from 0 and 1
NO_DISTANCE = 1e-8  # mean distance of a curve that is rounding error, and gives no direction
HIGHEST = (1.0, 1.0, 1.0, 1.0, 100.0)  # possible values of the errors
# What adds up: the square of an observed distance is about that of the true one plus that of chance; the ECI
# is a mean of squares.
POWERS = (2, 2, 2, 2, 1)


class Tests(NamedTuple):
    """The errors of a cohort that are tested, and the errors of simulated cohorts that are calibrated.

    `target`: the observed errors, at least the medians under perfect calibration; `tails`: probabilities of
    the quantiles beyond which an observed error is rejected.
    """

    refits: CurveRefits
    observed: FloatArray
    target: FloatArray
    calibrated: FloatArray
    tails: tuple[float, float]
    seed: int

    def quantiles(self, draws: FloatArray) -> FloatArray:
        """Return both quantiles of each error, shape (2, n_errors), of a test with its size at any number."""
        return np.asarray(np.quantile(draws, self.tails, axis=0, method="weibull"))

    def under(self, truth: FloatArray) -> FloatArray | None:
        """Return the quantiles if outcomes follow the truth; None if curves can then hardly be fitted."""
        draws = usable_draws(self.refits.simulated(len(self.calibrated), self.seed, truth))
        return None if draws is None else self.quantiles(draws)


def limits_by_inversion(
    observed: FloatArray, refits: CurveRefits, perfect: FloatArray, times: int, *, level: float, seed: int
) -> FloatArray:
    """Return the smallest and the largest true errors that are not rejected, shape (2, n_errors).

    A truth is rejected if the observed error is above the (1 + level) / 2 quantile of those simulated from
    it (then the lower limit is higher), or below the (1 - level) / 2 quantile (the upper limit is lower).
    Truths lie on a path to the fitted curve, and on one to the fitted recalibration line: chance moves a
    smooth truth more than the many small deviations of a fitted curve, from which alone the interval of
    the E50 would cover in 86 % of cohorts of 300. The interval spans those of both.

    An error below its median under perfect calibration has the upper limit of the median: a cohort whose
    curve is by luck close to the predictions could otherwise exclude every value, also 0 (power-constrained
    limits: Cowan et al. 2011, arXiv:1105.3166).

    NaN if too few curves can be fitted under perfect calibration.
    """
    calibrated = usable_draws(perfect if len(perfect) == times else refits.simulated(times, seed))
    if calibrated is None:
        return np.full((2, len(ERRORS)), np.nan)
    middle = np.median(calibrated, axis=0)
    tests = Tests(
        refits=refits,
        observed=observed,
        target=np.maximum(observed, middle),
        calibrated=calibrated,
        tails=((1 - level) / 2, (1 + level) / 2),
        seed=seed,
    )
    curves, line = [refits.curve], refits.line()
    if line is not None and np.abs(line - refits.curve).max() > NO_DISTANCE:
        curves.append(line)
    found = np.array([_limits(tests, _direction(refits, curve, float(tests.target[0]))) for curve in curves])
    return np.array([found[:, 0].min(axis=0), found[:, 1].max(axis=0)])


def _direction(refits: CurveRefits, curve: FloatArray, distance: float) -> FloatArray:
    """Return what is added to the predictions at strength 1, of this mean distance.

    For a curve whose distance is the observed one, this is the way to the curve. Without a distance there is
    no direction, and all probabilities move up.
    """
    away = curve - refits.score
    mean = float(np.average(np.abs(away), weights=refits.counts))
    return np.full_like(away, distance) if mean < NO_DISTANCE else away * (distance / mean)


def _limits(tests: Tests, direction: FloatArray) -> FloatArray:
    """Return the limits along one path: predictions + strength x direction, inside 0 to 1."""
    refits = tests.refits
    lowest, highest = np.minimum(refits.score, EXTREME), np.maximum(refits.score, 1 - EXTREME)
    true, quantiles = [np.zeros(len(ERRORS))], [tests.quantiles(tests.calibrated)]
    for strength in STRENGTHS:
        truth = np.clip(refits.score + strength * direction, lowest, highest)
        found = tests.under(truth)
        true.append(refits.errors(truth))
        if found is None:  # outcomes so extreme are not those observed: all further strengths are rejected
            quantiles.append(np.full((2, len(ERRORS)), np.inf))
            break
        quantiles.append(found)
        if strength >= 1.5 and (found[0] >= tests.target).all() and (found[1] >= tests.observed).all():
            break
    values, (below, above) = np.array(true), np.array(quantiles).transpose(1, 0, 2)
    return np.array([_crossing(values, above, tests.observed), _crossing(values, below, tests.target)])


def _crossing(true: FloatArray, quantile: FloatArray, target: FloatArray) -> FloatArray:
    """Return the true errors at which quantiles of shape (n_strengths, n_errors) reach their targets.

    Interpolated on the scale on which truth and chance add up; the largest possible errors where no quantile
    reaches its target.
    """
    limits = np.array(HIGHEST)
    for error, goal in enumerate(target):
        reached = np.flatnonzero(quantile[:, error] >= goal)
        if len(reached) and (last := int(reached[0])) == 0:
            limits[error] = 0.0
        elif len(reached) and np.isfinite(quantile[last, error]):
            power, pair = POWERS[error], slice(last - 1, last + 1)
            between = np.interp(goal**power, quantile[pair, error] ** power, true[pair, error] ** power)
            limits[error] = between ** (1 / power)
        elif len(reached):
            limits[error] = true[last, error]
    return limits
