"""What a decision needs of values and draws, compiled by numba: ranks, sums over draws, and the outcome."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel.additive import compiled_form

Positions = npt.NDArray[np.intp]


CODES = (  # of the statuses, in the order in which later ones replace earlier ones
    "undecided",
    "equivalent",
    "leaning",
    "default_best",
    "clear_gain",
    "insufficient_evidence",
    "only_option",
    "out_of_scope",
)


def ranked(
    values: FloatArray, permitted: npt.NDArray[np.bool_], comparator: int, tolerance: float
) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Return the places of top arm, next best and comparator, shape (3, n_patients), and who has tied arms.

    -1: no top arm, no comparator. The comparator takes a tie; of other tied arms, the first is the top one.
    """
    places = np.empty((3, len(values)), dtype=np.intp)
    tied = np.zeros(len(values), dtype=np.bool_)
    compiled_form(_rank)(values, permitted, comparator, tolerance, places, tied)
    return places, tied


def _rank(values, permitted, comparator, tolerance, places, tied):  # type: ignore[no-untyped-def] # numba
    n, k = values.shape
    for i in range(n):
        best, top, n_best = -np.inf, -1, 0
        for a in range(k):
            if permitted[i, a]:
                best = max(best, values[i, a])
        highest = -np.inf
        for a in range(k):
            if permitted[i, a] and values[i, a] >= best - tolerance:
                n_best += 1
                if values[i, a] > highest:
                    highest, top = values[i, a], a
        has = comparator >= 0 and permitted[i, comparator]
        if n_best > 1:
            if has and values[i, comparator] >= best - tolerance:
                top = comparator
            else:
                tied[i] = True
        second, next_best = 0, -np.inf
        for a in range(k):
            if permitted[i, a] and a != top and values[i, a] > next_best:
                next_best, second = values[i, a], a
        places[0, i], places[1, i], places[2, i] = top, second, comparator if has else -1


def settled(
    values: FloatArray,
    sums: FloatArray,
    ends: FloatArray,
    n_draws: int,
    *,
    permitted: npt.NDArray[np.bool_],
    places: Positions,
    known: npt.NDArray[np.bool_],
    in_scope: npt.NDArray[np.bool_],
    margin: float,
    tolerance: float,
    limits: tuple[float, float, float],
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_], Positions, FloatArray]:
    """Return what follows for patients without tied arms.

    `sums` and `ends` are those of `sums_over_draws` and of the quantiles of its differences; `known` says
    whether an arm has sufficient evidence; `limits` are those of the statuses: clear, leaning, ruled out.

    Returns
    -------
    by_arm : ndarray of shape (9, n_patients, n_arms)
        In the order of `_comparison.BY_ARM`.
    of_top : ndarray of shape (3, n_patients)
        In the order of `_comparison.OF_TOP`.
    best_set : ndarray of bool of shape (n_patients, n_arms)
    status : ndarray of int of shape (n_patients,)
        Positions in `CODES`.
    p_better : ndarray of shape (n_patients,)
        Posterior probability that the top arm is better than the comparator; 0 if it is the comparator.
    """
    n, k = values.shape
    by_arm, of_top = np.full((9, n, k), np.nan), np.full((3, n), np.nan)
    best_set, status = np.zeros((n, k), dtype=np.bool_), np.zeros(n, dtype=np.intp)
    p_better = np.zeros(n)
    compiled_form(_compare_means)(values, sums, ends, n_draws, permitted, places, tolerance, by_arm, of_top)
    compiled_form(_choose_best_set)(values, by_arm[5], permitted, places[0], margin, tolerance, best_set)
    compiled_form(_state)(
        by_arm, best_set, permitted, places, known, in_scope, margin, tolerance, limits, status, p_better
    )
    return by_arm, of_top, best_set, status, p_better


def _compare_means(values, sums, ends, n_draws, permitted, places, tolerance, by_arm, of_top):  # type: ignore[no-untyped-def] # numba
    n, k = values.shape
    for i in range(n):
        top, second, comparator = places[0, i], places[1, i], places[2, i]
        others = 0
        for a in range(k):
            if not permitted[i, a]:
                continue
            others += a != top
            for j in range(4):  # regret, above the margin, best, above the top
                by_arm[5 + j, i, a] = sums[j, i, a] / n_draws
            if comparator < 0:
                continue
            by_arm[0, i, a] = values[i, a] - values[i, comparator]
            if a != comparator:
                by_arm[1, i, a], by_arm[2, i, a] = ends[0, i, a], ends[1, i, a]
                by_arm[3, i, a], by_arm[4, i, a] = sums[4, i, a] / n_draws, sums[5, i, a] / n_draws
        if others > 0:
            of_top[0, i] = values[i, top] - values[i, second]
            low, high = ends[0, i, k], ends[1, i, k]
            if of_top[0, i] <= tolerance:  # symmetric, so that the order of the arms does not matter
                high = max(-low, high)
                low = -high
            of_top[1, i], of_top[2, i] = low, high


def _choose_best_set(values, regret, permitted, tops, margin, tolerance, best_set):  # type: ignore[no-untyped-def] # numba
    n, k = values.shape
    done = np.empty(k, dtype=np.bool_)
    for i in range(n):
        top = tops[i]
        if top < 0:
            continue
        total, arm = 0.0, top
        done[:] = False
        for size in range(1, k + 1):  # the top arm, then the others by their regret
            done[arm] = True
            total += regret[i, arm]
            best_set[i, arm] = total / size <= margin + tolerance
            lowest, arm = np.inf, -1
            for a in range(k):
                near = permitted[i, a] and values[i, top] - values[i, a] <= margin + tolerance
                if near and not done[a] and regret[i, a] < lowest:
                    lowest, arm = regret[i, a], a
            if arm < 0:
                break
        best_set[i, top] = True


def _state(by_arm, best_set, permitted, places, known, in_scope, margin, tolerance, limits, status, p_better):  # type: ignore[no-untyped-def] # numba
    n, k = best_set.shape
    for i in range(n):
        top, comparator = places[0, i], places[2, i]
        n_permitted = n_best = 0
        above_top = 0.0
        for a in range(k):
            n_permitted += permitted[i, a]
            n_best += best_set[i, a]
            if permitted[i, a]:
                above_top = max(above_top, by_arm[8, i, a])
        if comparator >= 0 and top != comparator:
            p_better[i] = by_arm[3, i, top]
        if not in_scope[i] or n_permitted == 0:
            status[i] = 7
        elif n_permitted == 1:
            status[i] = 6
        elif not known[top] or (comparator >= 0 and not known[comparator]):
            status[i] = 5
        elif p_better[i] >= limits[0] and not margin > by_arm[0, i, top] + tolerance:
            status[i] = 4
        elif comparator >= 0 and top == comparator and above_top < limits[2]:
            status[i] = 3
        elif p_better[i] >= limits[1]:
            status[i] = 2
        elif n_best > 1 and above_top < limits[2]:
            status[i] = 1


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
