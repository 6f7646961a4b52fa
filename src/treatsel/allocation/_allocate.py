"""Allocation of scarce places to the patients of a list."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.allocation._budget import Budget, check_budget, within_budget
from treatsel.allocation._comparison import UNLIMITED, check_draws, compared
from treatsel.allocation._optimum import Optimum, optimum, total_of
from treatsel.allocation._problem import Minimum, Positions, Problem, check_problem
from treatsel.allocation._result import Allocation, received

if TYPE_CHECKING:
    import pandas as pd


def allocate(
    utility: Any,
    capacity: Mapping[Any, int],
    *,
    allowed: "pd.DataFrame | None" = None,
    minimum: Mapping[Any, int] | None = None,
    groups: "pd.Series | None" = None,
    defer: bool = True,
    budget: tuple[float, Mapping[Any, float]] | None = None,
    draws: Any = None,
    level: float = 0.95,
) -> Allocation:
    """Give the places of a service to the patients of a list so that the total utility is highest.

    Each patient gets one arm at most, each arm has no more patients than places, and nobody gets an arm that
    is not allowed. The allocation is exact and made of whole patients. It does not depend on the order of
    patients or arms: where several allocations have the same total (within 1e-12 of the largest utility per
    patient), a draw that is a function of the patient's id decides.

    Parameters
    ----------
    utility : DataFrame of shape (n_patients, n_arms), or Recommendations
        What each patient gains by each arm, over having no arm, which counts 0: a probability, or a utility.
        Means suffice, since the total is linear in them. Of recommendations, excluded arms are not allowed.
    capacity : mapping of arm to int
        Places. An arm that is not named has no limit: waiting with a utility of its own can be such an arm.
    allowed : DataFrame of bool of shape (n_patients, n_arms), optional
        Permissions, for example of eligibility rules.
    minimum : mapping, optional
        Smallest numbers of patients, by arm, or by pair of group and arm; ``(group, None)`` is any arm.
    groups : Series, optional
        Group of each patient, for minimums by group.
    defer : bool
        Whether a patient may be left without an arm.
    budget : tuple of float and mapping of arm to float, optional
        Largest total cost, and the cost of one patient under each arm. It makes the problem one in whole
        numbers, for lists of some hundred patients; see `Budget` for how close to the optimum the result is.
    draws : array of shape (n_draws, n_patients, n_arms), optional
        Posterior draws of the utilities, for the intervals of the gain.
    level : float
        Level of these intervals.

    Returns
    -------
    Allocation
        Arm of each patient, price of each limit and who loses by it, and the comparison with first come,
        first served and with the best single arm.

    Raises
    ------
    InputError
        If the limits cannot all hold (with the number of places missing), or an argument is not valid.

    References
    ----------
    Ahuja, Magnanti & Orlin (1993), Network Flows, chapter 9.

    Examples
    --------
    >>> import pandas as pd
    >>> utility = pd.DataFrame(
    ...     {"CBT": [0.6, 0.7, 0.5], "GSH": [0.5, 0.4, 0.45]}, index=["ann", "bob", "eve"]
    ... )
    >>> plan = allocate(utility, {"CBT": 1, "GSH": 1})
    >>> plan.to_frame()[["arm", "utility", "best_arm", "forgone"]]
          arm  utility best_arm  forgone
    ann   GSH      0.5      CBT      0.1
    bob   CBT      0.7      CBT      0.0
    eve  None      0.0      CBT      0.5
    >>> plan.limits[["capacity", "gain_of_one_more", "loss_of_one_less"]]
         capacity  gain_of_one_more  loss_of_one_less
    CBT         1              0.55               0.7
    GSH         1              0.45               0.5
    """
    problem = check_problem(utility, capacity, allowed=allowed, minimum=minimum, groups=groups, defer=defer)
    drawn = check_draws(draws, problem.utility.shape)
    spent = None
    if budget is None:
        found = optimum(problem)
    else:
        found, spent = within_budget(problem, *check_budget(budget, problem.arms))
    return allocation_of(problem, found, spent, drawn, level)


def allocation_of(
    problem: Problem, found: Optimum, spent: Budget | None, draws: FloatArray | None, level: float
) -> Allocation:
    """Return the result of an optimal assignment."""
    comparison, others = compared(problem, found.position, draws, level)
    return Allocation(
        patients=problem.patients,
        arms=problem.arms,
        position=found.position,
        utilities=problem.utility,
        best=others[UNLIMITED],
        tied=found.tied,
        margin=found.margin,
        limits=_limits(problem, found, others[UNLIMITED]),
        minimums=_minimums(problem, found.position, budgeted=spent is not None),
        comparison=comparison,
        level=float(level),
        budget=spent,
    )


def _limits(problem: Problem, found: Optimum, best: Positions) -> "pd.DataFrame":
    """Return the price of each limit, and what is lost by those whose best arm it is."""
    import pandas as pd

    n_arms = len(problem.arms)
    forgone = received(problem.utility, best) - received(problem.utility, found.position)
    denied = best != found.position
    counts = [
        np.bincount(places, weights, minlength=n_arms + 1)[:n_arms]
        for places, weights in (
            (found.position, None),
            (best, None),
            (best[denied], None),
            (best[denied], forgone[denied]),
        )
    ]
    stated = [int(n) if told else None for n, told in zip(problem.stated, problem.limited, strict=True)]
    tight = problem.limited & (problem.stated <= len(problem.patients))  # otherwise a place costs nothing
    return pd.DataFrame(
        {
            "capacity": pd.array(stated, dtype="Int64"),
            "n_given": counts[0].astype(np.int64),
            "gain_of_one_more": np.where(tight, found.gain_of_one_more, 0.0),
            "loss_of_one_less": np.where(tight, found.loss_of_one_less, 0.0),
            "n_first_choice": counts[1].astype(np.int64),
            "n_denied": counts[2].astype(np.int64),
            "forgone": counts[3].astype(np.float64),
        },
        index=pd.Index(problem.arms, name=None),
    )


def _minimums(problem: Problem, position: Positions, *, budgeted: bool) -> "pd.DataFrame":
    """Return what each minimum costs: the total without it minus the total with it."""
    import pandas as pd

    total = total_of(problem.utility, position)
    rows = []
    for each in problem.minimums:
        others = tuple(other for other in problem.minimums if other is not each)
        cost = np.nan
        if not budgeted:
            free = optimum(replace(problem, minimums=others)).position
            cost = max(total_of(problem.utility, free) - total, 0.0)
        rows.append(
            {
                "group": None if each.group is None else problem.group_names[each.group],
                "arm": None if each.arm is None else problem.arms[each.arm],
                "minimum": each.n,
                "n_given": _counted(problem, position, each),
                "cost": cost,
            }
        )
    return pd.DataFrame(rows, columns=["group", "arm", "minimum", "n_given", "cost"])


def _counted(problem: Problem, position: Positions, each: Minimum) -> int:
    """Return the number of patients who count towards a minimum."""
    counted = position < len(problem.arms) if each.arm is None else position == each.arm
    return int((counted if each.group is None else counted & (problem.groups == each.group)).sum())
