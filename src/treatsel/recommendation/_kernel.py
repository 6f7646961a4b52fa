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
    sums, away = np.empty((6, n, k)), np.empty((n, k + 1, n_draws))
    compiled_form(_compare)(draws, permitted, comparator, leading[0], leading[1], margin, sums, away)
    return sums, away


def _compare(draws, permitted, comparator, top, second, margin, sums, away):  # type: ignore[no-untyped-def] # numba
    n, k, n_draws = draws.shape
    best, n_best = np.empty(n_draws), np.empty(n_draws)
    for i in range(n):
        highest, against = draws[i, top[i]], draws[i, comparator[i]]
        best[:] = -np.inf
        n_best[:] = 0
        for a in range(k):  # the loops over draws are innermost and without branches: they are vectorized
            if permitted[i, a]:
                for t in range(n_draws):
                    best[t] = max(best[t], draws[i, a, t])
        for a in range(k):
            if permitted[i, a]:
                for t in range(n_draws):
                    n_best[t] += 1.0 if draws[i, a, t] == best[t] else 0.0
        for a in range(k):
            own, regret, first = draws[i, a], 0.0, 0.0
            n_regret = n_above = n_better = n_relevant = 0
            for t in range(n_draws):
                away[i, a, t] = own[t] - against[t]
                regret += best[t] - own[t]
            for t in range(n_draws):
                n_regret += best[t] - own[t] > margin
                n_above += own[t] > highest[t] + margin
                n_better += away[i, a, t] > 0
                n_relevant += away[i, a, t] > margin
            if permitted[i, a]:
                for t in range(n_draws):
                    if own[t] == best[t]:
                        first += 1.0 / n_best[t]
            sums[0, i, a], sums[1, i, a], sums[2, i, a] = regret, n_regret, first
            sums[3, i, a], sums[4, i, a], sums[5, i, a] = n_above, n_better, n_relevant
        for t in range(n_draws):
            away[i, k, t] = highest[t] - draws[i, second[i], t]
