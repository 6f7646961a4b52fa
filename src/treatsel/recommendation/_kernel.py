"""The sums over draws that comparisons of arms need, in one pass, compiled by numba."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel.additive import compiled_form

Positions = npt.NDArray[np.intp]


def sums_over_draws(
    draws: FloatArray,
    permitted: npt.NDArray[np.bool_],
    comparator: Positions,
    leading: tuple[Positions, Positions],
    margin: float,
) -> tuple[FloatArray, FloatArray]:
    """Return sums over draws of six quantities by arm, and the draws of differences.

    Parameters
    ----------
    draws : ndarray of shape (n_patients, n_arms, n_draws)
        Draws of the values.
    permitted : ndarray of bool of shape (n_patients, n_arms)
        Arms that a patient may receive.
    comparator : ndarray of int of shape (n_patients,)
        Position of the comparator.
    leading : pair of ndarrays of int of shape (n_patients,)
        Positions of the top arm and of the next best.
    margin : float
        Smallest difference that is counted as relevant.

    Returns
    -------
    sums : ndarray of shape (6, n_patients, n_arms)
        Of the regret, and of how often: the regret is above the margin, the arm is the best (shared if
        tied), it is above the top arm by more than the margin, above the comparator, and this by more than
        the margin.
    away : ndarray of shape (n_patients, n_arms + 1, n_draws)
        Every arm minus the comparator; last, the top arm minus the next best.
    """
    n, k, n_draws = draws.shape
    sums, away = np.zeros((6, n, k)), np.empty((n, k + 1, n_draws))
    compiled_form(_sums)(draws, permitted, comparator, leading[0], leading[1], margin, sums, away)
    return sums, away


def _sums(draws, permitted, comparator, top, second, margin, sums, away):  # type: ignore[no-untyped-def] # numba
    n, k, n_draws = draws.shape
    for i in range(n):
        for t in range(n_draws):
            best, n_best = -np.inf, 0
            for a in range(k):
                if permitted[i, a]:
                    if draws[i, a, t] > best:
                        best, n_best = draws[i, a, t], 1
                    elif draws[i, a, t] == best:
                        n_best += 1
            highest, against = draws[i, top[i], t], draws[i, comparator[i], t]
            for a in range(k):
                value = draws[i, a, t]
                regret, lead = best - value, value - against
                sums[0, i, a] += regret
                if regret > margin:
                    sums[1, i, a] += 1
                if regret <= 0 and permitted[i, a]:
                    sums[2, i, a] += 1.0 / n_best
                if value > highest + margin:
                    sums[3, i, a] += 1
                if lead > 0:
                    sums[4, i, a] += 1
                if lead > margin:
                    sums[5, i, a] += 1
                away[i, a, t] = lead
            away[i, k, t] = highest - draws[i, second[i], t]
