"""Mean and spread of a numeric covariate, in any unit."""

import numpy as np

from treatsel._checks import FloatArray

SAFE = 1e-100  # squares of deviations between this and its inverse, and their sums, are precise floats
# Smallest SD that is not 0. A number of up to 1e100, or a center of up to 1e155, divided by it and multiplied
# by two factors of up to 1e30, as a model file may hold, remains within the floats.
NARROWEST = 1e-60


def center_and_scale(values: np.ndarray, weights: FloatArray) -> tuple[float, float]:
    """Return mean and SD; an SD of 1 for a constant."""
    center, spread = moments_of(values, weights)
    return center, 1.0 if is_constant(center, spread) else spread


def moments_of(values: np.ndarray, weights: FloatArray) -> tuple[float, float]:
    """Return weighted mean and SD in any unit: squares of tiny or huge values do not leave the floats."""
    with np.errstate(over="ignore", invalid="ignore"):
        center = float(np.average(values, weights=weights))
        apart = values - center
        largest = float(np.abs(apart).max(initial=0.0))
        if SAFE < largest < 1 / SAFE or largest == 0 or not np.isfinite(largest):
            return center, float(np.sqrt(np.average(apart**2, weights=weights)))
        return center, largest * float(np.sqrt(np.average((apart / largest) ** 2, weights=weights)))


def is_constant(center: float, spread: float) -> bool:
    """Whether a spread is rounding error: relative to the mean, so that it does not depend on the unit."""
    return spread <= 1e-12 * abs(center)
