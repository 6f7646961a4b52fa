"""Logits of predicted probabilities, with one rule for predictions of 0 and 1."""

import numpy as np
from scipy.special import logit

from treatsel._checks import FloatArray, count_of
from treatsel.errors import warn

# The closest to 0 or 1 at which a logit is taken (18.4): more extreme than any prediction for a patient can
# justify, and far from where 1 - p loses its digits (1e-16).
NEAREST = 1e-8


def clipped(probability: FloatArray) -> FloatArray:
    """Return probabilities clipped to [1e-8, 1 - 1e-8], without a warning."""
    return np.clip(probability, NEAREST, 1 - NEAREST)


def inside(probability: FloatArray) -> FloatArray:
    """Return probabilities clipped to [1e-8, 1 - 1e-8], with a warning if any is changed."""
    moved = clipped(probability)
    if n := int((moved != probability).sum()):
        warn(
            f"{n:,} of {count_of(probability.size, 'predicted probability', 'predicted probabilities')} "
            f"{'is' if n == 1 else 'are'} 0 or 1 (or within {NEAREST:g} of them), where the logit is "
            f"infinite; {NEAREST:g} and 1 - {NEAREST:g} are used instead.",
        )
    return moved


def logits_of(probability: FloatArray) -> FloatArray:
    """Return the logits of probabilities, clipped as by `inside`."""
    return np.asarray(logit(inside(probability)))
