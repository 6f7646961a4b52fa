"""Logits of predicted probabilities, with one stated rule for the ends."""

import warnings

import numpy as np
from scipy.special import logit

from treatsel._checks import FloatArray
from treatsel.errors import TreatselWarning

NEAREST = 1e-8  # the closest to 0 or 1 at which a logit is taken


def clipped(probability: FloatArray) -> FloatArray:
    """Return probabilities moved to within 1e-8 and 1 - 1e-8, without a word."""
    return np.clip(probability, NEAREST, 1 - NEAREST)


def inside(probability: FloatArray) -> FloatArray:
    """Return probabilities moved to within 1e-8 and 1 - 1e-8, with a warning if any had to move."""
    moved = clipped(probability)
    if n := int((moved != probability).sum()):
        warnings.warn(
            f"{n} of {probability.size} predicted probabilities are 0 or 1 (or within {NEAREST:g} of them), "
            f"where the logit is infinite; they count as {NEAREST:g} and 1 - {NEAREST:g}.",
            TreatselWarning,
            stacklevel=4,
        )
    return moved


def logits_of(probability: FloatArray) -> FloatArray:
    """Return the logits of probabilities moved inside (0, 1)."""
    return np.asarray(logit(inside(probability)))
