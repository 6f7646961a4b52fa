"""Comparisons of every arm with a comparator and with the best arm, from posterior draws."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treatsel._checks import ROUNDING, FloatArray, exceeds
from treatsel.additive import quantiles

BLOCK = 256  # patients compared at once: bounds memory
Positions = npt.NDArray[np.intp]
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
    """
    n, k = values.shape
    found: dict[str, FloatArray] = {name: np.full((n, k), np.nan) for name in BY_ARM}
    found |= {name: np.full(n, np.nan) for name in OF_TOP}
    rows, has = np.arange(n), (comparator >= 0)[:, None]
    others = permitted.copy()
    others[rows, top] = False
    second = np.where(others, values, -np.inf).argmax(axis=1)
    several = np.asarray(others.any(axis=1))
    found["difference"] = np.where(permitted & has, values - values[rows, comparator][:, None], np.nan)
    found["advantage"] = np.where(several, values[rows, top] - values[rows, second], np.nan)
    if draws is None:
        return Comparisons(**found)
    versus = permitted & has
    versus[rows, comparator] = False
    for start in range(0, n, BLOCK):
        at = slice(start, start + BLOCK)
        # draws contiguous: sorting is then fast
        by_patient = np.ascontiguousarray(np.moveaxis(draws[:, at], 0, -1))
        part = _of_all(by_patient, permitted[at], top[at], margin)
        for name, table in part.items():
            found[name][at] = np.where(permitted[at], table, np.nan)
        part = _of_pairs(by_patient, comparator[at], (top[at], second[at]), margin, level)
        for name, table in part.items():
            found[name][at] = np.where(several[at] if name in OF_TOP else versus[at], table, np.nan)
    tied = np.asarray(several & (found["advantage"] <= ROUNDING))
    if tied.any():
        widest = np.maximum(-found["advantage_lower"], found["advantage_upper"])[tied]
        found["advantage_lower"][tied], found["advantage_upper"][tied] = -widest, widest
    return Comparisons(**found)


def _of_all(
    draws: FloatArray, permitted: npt.NDArray[np.bool_], top: Positions, margin: float
) -> dict[str, FloatArray]:
    """Return the tables that compare an arm with all others; `draws`: (n_patients, n_arms, n_draws)."""
    usable = draws if permitted.all() else np.where(permitted[:, :, None], draws, -np.inf)
    loss = usable.max(axis=1, keepdims=True) - draws
    first = loss <= 0
    if not permitted.all():
        first &= permitted[:, :, None]
    shared = first.sum(axis=1, keepdims=True)
    p_best = first.mean(axis=-1) if shared.max() <= 1 else (first / np.maximum(shared, 1)).mean(axis=-1)
    at_top = draws[np.arange(len(draws)), top][:, None]
    return {
        "expected_regret": loss.mean(axis=-1),
        "p_regret": exceeds(loss, margin).mean(axis=-1),
        "p_best": p_best,
        "p_above_top": (draws > at_top + (margin + ROUNDING)).mean(axis=-1),
    }


def _of_pairs(
    draws: FloatArray,
    comparator: Positions,
    leading: tuple[Positions, Positions],
    margin: float,
    level: float,
) -> dict[str, FloatArray]:
    """Return the tables of every arm minus the comparator, and those of the two highest arms."""
    n, k, n_draws = draws.shape
    rows, away = np.arange(n), np.empty((n, k + 1, n_draws))
    np.subtract(draws, draws[rows, comparator][:, None], out=away[:, :k])
    np.subtract(draws[rows, leading[0]], draws[rows, leading[1]], out=away[:, k])
    p_better = (away[:, :k] > 0).mean(axis=-1)
    p_relevant = exceeds(away[:, :k], margin).mean(axis=-1)
    lower, upper = quantiles(away, [(1 - level) / 2, (1 + level) / 2])
    return {
        "difference_lower": lower[:, :k],
        "difference_upper": upper[:, :k],
        "p_better": p_better,
        "p_relevantly_better": p_relevant,
        "advantage_lower": lower[:, k],
        "advantage_upper": upper[:, k],
    }
