"""Missing outcomes: sensitivity of a rate, a contrast of two arms and a gain to their values."""

from treatsel.metrics.missing._bounds import MissingOutcomeBounds, gain_missing_bounds, missing_outcome_bounds
from treatsel.metrics.missing._delta_adjusted import (
    EVERYONE,
    FARTHEST,
    RATIO,
    RECOMMENDED,
    SHIFTS,
    DeltaAdjusted,
    delta_adjusted,
)
from treatsel.metrics.missing._shifted_curves import GAIN, shifted_curves
from treatsel.metrics.missing._tipping_point import TippingPoint, tipping_point

__all__ = [
    "EVERYONE",
    "FARTHEST",
    "GAIN",
    "RATIO",
    "RECOMMENDED",
    "SHIFTS",
    "DeltaAdjusted",
    "MissingOutcomeBounds",
    "TippingPoint",
    "delta_adjusted",
    "gain_missing_bounds",
    "missing_outcome_bounds",
    "shifted_curves",
    "tipping_point",
]
