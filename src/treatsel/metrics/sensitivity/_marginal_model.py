"""Bounds under the marginal sensitivity model, from sums over patients that do not depend on Lambda."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from treatsel._checks import FloatArray

PARTS = ("recommended", "rule", "best")  # concordant; of these, not at the comparator; discordant at it


class Bounds(NamedTuple):
    """Lowest and highest value that the model allows, one of each per row of sums."""

    lowest: FloatArray
    highest: FloatArray


def statistics_of(
    outcome: FloatArray,
    concordant: FloatArray,
    differs: FloatArray,
    at_best: FloatArray,
    propensity: FloatArray,
) -> FloatArray:
    """Return the terms to be summed over patients, shape (n_patients, 14).

    `concordant`: share of the received arm in the recommendation; `differs`: share of arms other than the
    comparator; `at_best`: whether the comparator was received. For each of `PARTS`, for its patients with
    outcome 1 and for those with 0: an indicator, and the indicator times 1 / propensity - 1, because a weight
    is 1 + (1 / propensity - 1) times a factor from 1 / Lambda to Lambda. Last: `differs`, and 1.
    """
    odds = 1 / propensity - 1
    columns = []
    for part in (concordant, concordant * (1.0 - at_best), differs * at_best):
        for mine in (part * outcome, part * (1 - outcome)):
            columns += [mine, mine * odds]
    return np.column_stack([*columns, differs, np.ones(len(outcome))]).astype(float)


@dataclass(frozen=True, eq=False, repr=False)
class Sums:
    """Sums of the statistics, one row per (re)sample; `method`: "hajek" or "ipw"."""

    totals: FloatArray
    method: str

    def bounds(self, measure: str, factor: float) -> Bounds:
        """Return the bounds of the "value" or the "gain" at one Lambda."""
        if measure == "value":
            return self._mean("recommended", factor, self.totals[:, -1])
        differs, total = self.totals[:, -2], self.totals[:, -1]
        rule, best = (self._mean(part, factor, differs) for part in ("rule", "best"))
        share = differs / total
        with np.errstate(invalid="ignore"):
            low, high = share * (rule.lowest - best.highest), share * (rule.highest - best.lowest)
        return Bounds(np.where(differs > 0, low, 0.0), np.where(differs > 0, high, 0.0))

    def _mean(self, part: str, factor: float, patients: FloatArray) -> Bounds:
        """Return bounds of the weighted share of outcome 1 among the patients of one part.

        With a 0/1 outcome, the extreme of the fractional linear program has a closed form: the smallest
        weights for one outcome and the largest for the other.
        """
        at = 4 * PARTS.index(part)
        ones, ones_odds, zeros, zeros_odds = self.totals[:, at : at + 4].T
        least, most = ones + ones_odds / factor, ones + ones_odds * factor
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.method == "ipw":
                empty = np.where(ones + zeros > 0, 0.0, np.nan)
                return Bounds(least / patients + empty, most / patients + empty)
            rest_least, rest_most = zeros + zeros_odds / factor, zeros + zeros_odds * factor
            return Bounds(least / (least + rest_most), most / (most + rest_least))
