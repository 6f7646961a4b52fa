"""Missing outcomes: sensitivity of a rate, a contrast of two arms and a gain to their values."""

from treatsel.metrics.missing._bounds import MissingOutcomeBounds, gain_missing_bounds, missing_outcome_bounds
from treatsel.metrics.missing._tipping_point import TippingPoint, tipping_point

__all__ = [
    "MissingOutcomeBounds",
    "TippingPoint",
    "gain_missing_bounds",
    "missing_outcome_bounds",
    "tipping_point",
]
