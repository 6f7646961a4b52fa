"""Comparisons of every arm with a comparator and with the best arm, from posterior draws."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, exceeds
from treatsel.additive import quantiles

BLOCK = 256  # patients compared at once: bounds memory
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparisons:
    """What the draws say of each arm, arrays of shape (n_patients, n_arms); NaN for an arm not permitted.

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

    def tables(self) -> dict[str, FloatArray]:
        """Return all tables by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


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
    found = {each.name: np.full(values.shape, np.nan) for each in fields(Comparisons)}
    known = permitted & (comparator >= 0)[:, None]
    found["difference"] = np.where(known, values - _at(values, comparator)[:, None], np.nan)
    for start in range(0, len(values) if draws is not None else 0, BLOCK):
        rows = slice(start, start + BLOCK)
        if draws is None:
            continue
        # draws contiguous: sorting is then fast
        by_patient = np.ascontiguousarray(np.moveaxis(draws[:, rows], 0, -1))
        part = _of_block(by_patient, permitted[rows], comparator[rows], top[rows], margin, level)
        for name, table in part.items():
            found[name][rows] = table
    return Comparisons(**found)


def _of_block(
    draws: FloatArray,
    permitted: npt.NDArray[np.bool_],
    comparator: Positions,
    top: Positions,
    margin: float,
    level: float,
) -> dict[str, FloatArray]:
    """Return the tables that need draws, for some patients; `draws`: (n_patients, n_arms, n_draws)."""
    best = np.where(permitted[:, :, None], draws, -np.inf).max(axis=1)
    loss = best[:, None, :] - draws
    first = (loss <= 0) & permitted[:, :, None]
    found = {
        "expected_regret": loss.mean(axis=-1),
        "p_regret": exceeds(loss, margin).mean(axis=-1),
        "p_best": (first / np.maximum(first.sum(axis=1), 1)[:, None, :]).mean(axis=-1),
        "p_above_top": exceeds(draws - _at(draws, top)[:, None], margin).mean(axis=-1),
    }
    has_top, has_comparator = (top >= 0)[:, None], (comparator >= 0)[:, None]
    other = np.arange(permitted.shape[1]) != comparator[:, None]
    away = draws - _at(draws, comparator)[:, None]
    lower, upper = quantiles(away, [(1 - level) / 2, (1 + level) / 2])
    against = {
        "difference_lower": lower,
        "difference_upper": upper,
        "p_better": (away > 0).mean(axis=-1),
        "p_relevantly_better": exceeds(away, margin).mean(axis=-1),
    }
    found = {name: np.where(permitted, table, np.nan) for name, table in found.items()}
    found["p_above_top"] = np.where(has_top, found["p_above_top"], np.nan)
    usable = permitted & has_comparator & other
    return found | {name: np.where(usable, table, np.nan) for name, table in against.items()}


def _at(table: FloatArray, position: Positions) -> FloatArray:
    """Return the entries of each patient's arm; those of the last arm where the position is -1."""
    return np.asarray(table[np.arange(len(table)), position])
