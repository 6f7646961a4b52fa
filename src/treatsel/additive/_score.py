"""Expected score of a cumulative logit model, from the logit of the outcome."""

from dataclasses import dataclass

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive._numeric import logistic


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ScoreLevels:
    """Levels of the score behind an outcome, in the order of the event.

    Attributes
    ----------
    thresholds : ndarray of shape (n_levels - 1,)
        What is added to the logit of the outcome for that of reaching each level but the first; 0 for the
        level from which on the outcome is 1.
    means : ndarray of shape (n_levels,)
        Mean score of the development patients in each level.
    """

    thresholds: FloatArray
    means: FloatArray

    def expected(self, logits: FloatArray) -> FloatArray:
        """Return the expected score at logits of the outcome, of the same shape."""
        total = np.full_like(logits, self.means[0])
        for threshold, step in zip(self.thresholds, np.diff(self.means), strict=True):
            total += step * logistic(logits + threshold)
        return total
