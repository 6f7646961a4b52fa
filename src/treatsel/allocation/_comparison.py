"""Other ways to give the same places, for comparison, and the gain over them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, check_level
from treatsel.allocation._optimum import drawn, total_of
from treatsel.allocation._problem import Positions, Problem
from treatsel.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FIRST_COME, SINGLE, UNLIMITED = "first come, first served", "best single arm", "no limits"


def first_come(problem: Problem) -> Positions:
    """Return positions if patients, in the order of the table, take their best arm that has a place left.

    If patients may be deferred, nobody takes an arm that is worse than none. Ties are drawn.
    """
    n, n_arms = problem.utility.shape
    values = np.where(problem.allowed, problem.utility, -np.inf)
    order = np.lexsort((drawn(problem), -values), axis=1).tolist()
    worst = 0.0 if problem.defer else -np.inf
    takes = (values >= worst) & problem.allowed
    left, found = problem.capacity.tolist(), np.full(n, n_arms, dtype=np.int64)
    for i, (arms, may) in enumerate(zip(order, takes.tolist(), strict=True)):
        for arm in arms:
            if may[arm] and left[arm]:
                found[i] = arm
                left[arm] -= 1
                break
    return found


def single_arm(problem: Problem) -> Positions:
    """Return positions if one arm alone is given: the one with the highest total, to those it helps most."""
    n, n_arms = problem.utility.shape
    draws = drawn(problem)
    best, most = np.full(n, n_arms, dtype=np.int64), -np.inf
    for arm in sorted(range(n_arms), key=lambda place: str(problem.arms[place])):
        values = np.where(problem.allowed[:, arm], problem.utility[:, arm], -np.inf)
        order = np.lexsort((draws[:, arm], -values))[: problem.capacity[arm]]
        chosen = order[values[order] >= (0.0 if problem.defer else -np.finfo(float).max)]
        found = np.full(n, n_arms, dtype=np.int64)
        found[chosen] = arm
        if (total := total_of(problem.utility, found)) > most and len(chosen):
            best, most = found, total
    return best


def unlimited(problem: Problem) -> Positions:
    """Return positions if every patient got the best arm, whatever the number of places."""
    n_arms = problem.utility.shape[1]
    values = np.where(problem.allowed, problem.utility, -np.inf)
    best = np.lexsort((drawn(problem), -values), axis=1)[:, 0]
    highest = values.max(axis=1)
    none = ~np.isfinite(highest) | ((highest < 0) if problem.defer else False)
    return np.where(none, n_arms, best).astype(np.int64)


def check_draws(draws: Any, shape: tuple[int, ...]) -> FloatArray | None:
    """Return draws of the utilities, shape (n_draws, n_patients, n_arms)."""
    if draws is None:
        return None
    try:
        found = np.asarray(draws, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("draws must be an array of numbers.") from None
    if found.ndim != 3 or found.shape[1:] != shape or len(found) < 2 or not np.isfinite(found).all():
        raise InputError(
            f"draws must be finite with shape (n_draws, {shape[0]}, {shape[1]}) and two draws or more; they "
            f"have shape {found.shape}."
        )
    return found


def compared(
    problem: Problem, position: Positions, draws: FloatArray | None, level: float
) -> tuple["pd.DataFrame", Mapping[str, Positions]]:
    """Return the table of totals with the gain over each alternative, and the alternatives.

    The plans are fixed: the interval of the gain shows how uncertain the utilities are, not the choice of a
    plan.
    """
    import pandas as pd

    check_level(level)
    ends = [(1 - level) / 2, (1 + level) / 2]
    others = {
        FIRST_COME: first_come(problem),
        SINGLE: single_arm(problem),
        UNLIMITED: unlimited(problem),
    }
    n, n_arms = problem.utility.shape
    total, own = total_of(problem.utility, position), _drawn_totals(draws, position)
    rows: list[dict[str, Any]] = []
    for other in (position, *others.values()):
        value = total_of(problem.utility, other)
        row = {"total": value, "mean": value / n, "n_treated": int((other < n_arms).sum())}
        if other is not position:
            row["gain"] = total - value
            if own is not None:
                row["lower"], row["upper"] = np.quantile(own - _drawn_totals(draws, other), ends)
        rows.append(row)
    columns = ["total", "mean", "n_treated", "gain", "lower", "upper"]
    return pd.DataFrame(rows, index=["allocation", *others], columns=columns), others


def _drawn_totals(draws: FloatArray | None, position: Positions) -> Any:
    """Return the total of an assignment in each draw; None without draws."""
    if draws is None:
        return None
    rows = np.flatnonzero(position < draws.shape[2])
    return draws[:, rows, position[rows]].sum(axis=1)
