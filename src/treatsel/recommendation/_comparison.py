"""Comparisons of every arm with a comparator and with the best arm, from posterior draws."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treatsel._checks import ROUNDING, FloatArray
from treatsel.additive import quantiles
from treatsel.recommendation._kernel import Positions, sums_over_draws

BLOCK = 256  # patients compared at once: bounds memory
BY_ARM = (
    "difference",
    "difference_lower",
    "difference_upper",
    "p_better",
    "p_relevantly_better",
    "expected_regret",
    "p_regret",
    "p_best",
    "p_above_top",
)
# the means of the sums over draws, in their order; the last two are against the comparator
SUMMED = ("expected_regret", "p_regret", "p_best", "p_above_top", "p_better", "p_relevantly_better")
OF_TOP = ("advantage", "advantage_lower", "advantage_upper")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparisons:
    """What is known of each arm, arrays of shape (n_patients, n_arms), and of the two highest arms.

    NaN for an arm that is not permitted, and without what a number needs.

    Attributes
    ----------
    difference, difference_lower, difference_upper : ndarray
        Value of the arm minus that of the comparator, with its interval. NaN without a comparator.
    p_better, p_relevantly_better : ndarray
        Posterior probability that the arm is better than the comparator, and better by more than the margin.
    expected_regret : ndarray
        Expected loss of value by this arm instead of the best one.
    p_regret : ndarray
        Posterior probability that this loss is above the margin.
    p_best : ndarray
        Posterior probability that the arm is the best one; ties are shared.
    p_above_top : ndarray
        Posterior probability that the arm is better than the top arm by more than the margin.
    advantage, advantage_lower, advantage_upper : ndarray of shape (n_patients,)
        Value of the top arm minus that of the next best, with its interval; of tied arms, symmetric, so that
        the order of the arms does not matter.
    """

    difference: FloatArray
    difference_lower: FloatArray
    difference_upper: FloatArray
    p_better: FloatArray
    p_relevantly_better: FloatArray
    expected_regret: FloatArray
    p_regret: FloatArray
    p_best: FloatArray
    p_above_top: FloatArray
    advantage: FloatArray
    advantage_lower: FloatArray
    advantage_upper: FloatArray

    def tables(self) -> dict[str, FloatArray]:
        """Return the tables by arm, by name."""
        return {name: getattr(self, name) for name in BY_ARM}


def compare(
    values: FloatArray,
    draws: FloatArray | None,
    *,
    permitted: npt.NDArray[np.bool_],
    comparator: Positions,
    top: Positions,
    margin: float,
    level: float,
    compiled: bool = False,
) -> Comparisons:
    """Compare the arms of each patient.

    Parameters
    ----------
    values : ndarray of shape (n_patients, n_arms)
        The values to be compared.
    draws : ndarray of shape (n_draws, n_patients, n_arms) or None
        Posterior draws of the values; None: only differences are known.
    permitted : ndarray of bool of shape (n_patients, n_arms)
        Arms that a patient may receive.
    comparator, top : ndarray of int of shape (n_patients,)
        Positions of the comparator and of the top arm; -1: none.
    margin, level : float
        As in `recommend`.
    compiled : bool
        Whether to sum over draws with the compiled kernel.
    """
    n = len(values)
    rows, has = np.arange(n), (comparator >= 0)[:, None]
    others = permitted.copy()
    others[rows, top] = False
    second = np.where(others, values, -np.inf).argmax(axis=1)
    several = np.asarray(others.any(axis=1))
    versus = permitted & has
    difference = np.where(versus, values - values[rows, comparator][:, None], np.nan)
    advantage = np.where(several, values[rows, top] - values[rows, second], np.nan)
    if draws is None:
        unknown: dict[str, FloatArray] = {name: np.full(values.shape, np.nan) for name in BY_ARM}
        unknown |= {name: np.full(n, np.nan) for name in OF_TOP}
        return Comparisons(**unknown | {"difference": difference, "advantage": advantage})
    versus[rows, comparator] = False
    sums, ends = summed(
        draws, permitted, comparator, (top, second), margin=margin, level=level, compiled=compiled
    )
    means = sums / len(draws)
    means[:, ~permitted] = np.nan
    means[4:, ~versus] = np.nan
    ends[:, :, :-1][:, ~versus] = np.nan
    ends[:, ~several, -1] = np.nan
    tied = several & (advantage <= ROUNDING)
    if tied.any():
        widest = np.maximum(-ends[0, tied, -1], ends[1, tied, -1])
        ends[0, tied, -1], ends[1, tied, -1] = -widest, widest
    return Comparisons(
        difference=difference,
        difference_lower=ends[0, :, :-1],
        difference_upper=ends[1, :, :-1],
        advantage=advantage,
        advantage_lower=ends[0, :, -1],
        advantage_upper=ends[1, :, -1],
        **dict(zip(SUMMED, means, strict=True)),
    )


def summed(
    draws: FloatArray,
    permitted: npt.NDArray[np.bool_],
    comparator: Positions,
    leading: tuple[Positions, Positions],
    *,
    margin: float,
    level: float,
    compiled: bool,
) -> tuple[FloatArray, FloatArray]:
    """Return the sums of `sums_over_draws`, and quantiles of its differences, shape (2, n, n_arms + 1)."""
    sums, ends = [], []
    for start in range(0, draws.shape[1], BLOCK):
        at = slice(start, start + BLOCK)
        # draws contiguous: sorting is then fast
        by_patient = np.ascontiguousarray(draws[:, at].transpose(1, 2, 0))
        found, away = (sums_over_draws if compiled else _sums_over_draws)(
            by_patient, permitted[at], comparator[at], (leading[0][at], leading[1][at]), margin + ROUNDING
        )
        sums.append(found)
        ends.append(quantiles(away, [(1 - level) / 2, (1 + level) / 2], compiled=compiled))
    if len(sums) == 1:
        return sums[0], ends[0]
    return np.concatenate(sums, axis=1), np.concatenate(ends, axis=1)


def _sums_over_draws(
    draws: FloatArray,
    permitted: npt.NDArray[np.bool_],
    comparator: Positions,
    leading: tuple[Positions, Positions],
    margin: float,
) -> tuple[FloatArray, FloatArray]:
    """Return what the compiled `sums_over_draws` returns."""
    n, k, n_draws = draws.shape
    rows, away = np.arange(n), np.empty((n, k + 1, n_draws))
    at_top = draws[rows, leading[0]]
    np.subtract(draws, draws[rows, comparator][:, None], out=away[:, :k])
    np.subtract(at_top, draws[rows, leading[1]], out=away[:, k])
    every = bool(permitted.all())
    usable = draws if every else np.where(permitted[:, :, None], draws, -np.inf)
    regret = usable.max(axis=1, keepdims=True) - draws
    first = regret <= 0 if every else (regret <= 0) & permitted[:, :, None]
    shared = first.sum(axis=1, keepdims=True)
    lead = away[:, :k]
    parts = (
        regret,
        regret > margin,
        first if shared.max() <= 1 else first / np.maximum(shared, 1),
        draws > at_top[:, None] + margin,
        lead > 0,
        lead > margin,
    )
    return np.array([part.sum(axis=-1) for part in parts], dtype=np.float64), away
