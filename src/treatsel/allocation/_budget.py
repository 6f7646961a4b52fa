"""Allocation within a budget: a programme in whole numbers, since a budget alone would divide patients."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from treatsel._checks import FloatArray, check_arm, check_number, listed
from treatsel._reporting.summary import Summarized
from treatsel.allocation._optimum import Optimum, drawn, total_of
from treatsel.allocation._problem import Positions, Problem
from treatsel.errors import InputError

_NODES = 20_000  # of the search: bounds the time, by a count, so that results do not depend on the machine
_STEP = 1e-6  # relative: the price is that of more budget, where less budget has another price


@dataclass(frozen=True, kw_only=True, repr=False)
class Budget(Summarized):
    """A budget and what it does.

    Attributes
    ----------
    limit, spent : float
        The budget, and the cost of the allocation.
    relaxed : float
        Total utility if patients could be divided among arms: no allocation has a higher one.
    gap : float
        What the best allocation may gain at most over the one found; 0 if it is proven optimal (to 1e-9).
    price : float
        Utility per unit of cost, with a little more budget and patients divided.
    """

    limit: float
    spent: float
    relaxed: float
    gap: float
    price: float

    def to_dict(self) -> dict[str, float]:
        """Return the numbers."""
        return {name: float(getattr(self, name)) for name in ("limit", "spent", "relaxed", "gap", "price")}


def check_budget(budget: Any, arms: tuple[Any, ...]) -> tuple[float, FloatArray]:
    """Return the limit and the cost of each arm, of a pair (limit, mapping of arm to cost)."""
    if not isinstance(budget, tuple) or len(budget) != 2 or not isinstance(budget[1], Mapping):
        raise InputError("budget must be a pair: the limit, and a mapping of arm to the cost of one patient.")
    limit, costs = float(check_number("The limit of budget", budget[0])), budget[1]
    found = {
        check_arm("budget", arm, arms): float(check_number("A cost", cost)) for arm, cost in costs.items()
    }
    if lost := [arm for arm in arms if arm not in found]:
        raise InputError(f"budget lacks the costs of {listed(lost)}. State 0 for what costs nothing.")
    values = np.array([found[arm] for arm in arms])
    if not np.isfinite([limit, *values]).all() or limit < 0 or (values < 0).any():
        raise InputError("The limit and the costs of budget must be finite numbers of 0 or more.")
    return limit, values


def within_budget(problem: Problem, limit: float, costs: FloatArray) -> tuple[Optimum, Budget]:
    """Return the best allocation that was found, with its prices, and the budget.

    The gain and the loss of a place come from further programmes with one place more and less.
    """
    n, n_arms = problem.utility.shape
    position, gap = _whole(problem, limit, costs)
    value = total_of(problem.utility, position)
    counts = np.bincount(position, minlength=n_arms + 1)
    gain, loss = np.zeros(n_arms), np.zeros(n_arms)
    for arm in np.flatnonzero((problem.capacity < n) & (counts[:-1] == problem.capacity)).tolist():
        gain[arm] = _value(problem, arm, 1, limit, costs) - value
        loss[arm] = value - _value(problem, arm, -1, limit, costs)
    relaxed, _ = _relaxed(problem, limit, costs)
    _, price = _relaxed(problem, limit * (1 + _STEP), costs)
    used = position < n_arms
    return (
        Optimum(
            position=position,
            gain_of_one_more=np.maximum(np.round(gain, 9), 0.0),
            loss_of_one_less=np.maximum(np.round(loss, 9), 0.0),
            margin=float("nan"),
            tied=np.zeros(n, dtype=bool),
        ),
        Budget(limit=limit, spent=float(costs[position[used]].sum()), relaxed=relaxed, gap=gap, price=price),
    )


def _value(problem: Problem, arm: int, change: int, limit: float, costs: FloatArray) -> float:
    """Return the total with other places of an arm; NaN if no allocation exists."""
    capacity = problem.capacity.copy()
    capacity[arm] += change
    try:
        position, _ = _whole(replace(problem, capacity=capacity), limit, costs)
    except InputError:
        return float("nan")
    return total_of(problem.utility, position)


def _programme(problem: Problem, limit: float, costs: FloatArray) -> tuple[Any, Any, FloatArray, FloatArray]:
    """Return patients and arms of the variables, and the matrix of the rows with their bounds."""
    from scipy import sparse

    n, n_arms = problem.utility.shape
    order = np.argsort(drawn(problem)[:, 0], kind="stable")  # the order of the table has no effect
    arms = np.array(sorted(range(n_arms), key=lambda arm: str(problem.arms[arm])))
    pairs = np.argwhere(problem.allowed[np.ix_(order, arms)])
    patient, arm = order[pairs[:, 0]], arms[pairs[:, 1]]
    one, columns = np.ones(len(patient)), np.arange(len(patient))
    group = problem.groups[patient]
    rows: list[Any] = [sparse.csr_array((one, (patient, columns)), shape=(n, len(patient)))]
    rows.append(sparse.csr_array((one, (arm, columns)), shape=(n_arms, len(patient))))
    lower = [np.full(n, 0.0 if problem.defer else 1.0), np.zeros(n_arms)]
    upper = [np.ones(n), problem.capacity.astype(np.float64)]
    for each in problem.minimums:
        counted = np.ones(len(patient), dtype=bool)
        counted &= (arm == each.arm) if each.arm is not None else True
        counted &= (group == each.group) if each.group is not None else True
        rows.append(sparse.csr_array(counted[None].astype(np.float64)))
        lower.append(np.array([float(each.n)]))
        upper.append(np.array([np.inf]))
    rows.append(sparse.csr_array(costs[arm][None]))
    bounds = np.concatenate([*lower, [-np.inf]]), np.concatenate([*upper, [limit]])
    return (patient, arm), sparse.vstack(rows, format="csr"), *bounds


def _whole(problem: Problem, limit: float, costs: FloatArray) -> tuple[Positions, float]:
    """Return the positions of the best allocation of whole patients, and the remaining gap."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    (patient, arm), matrix, lower, upper = _programme(problem, limit, costs)
    found = milp(
        -problem.utility[patient, arm],
        integrality=np.ones(len(patient)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, lower, upper),
        options={"mip_rel_gap": 1e-9, "node_limit": _NODES},
    )
    if found.x is None:
        raise InputError(
            f"No allocation meets the capacities, the minimums and the budget of {limit:g} together. "
            "Raise the budget, lower the minimums, or let patients wait (defer=True)."
        )
    chosen = found.x > 0.5
    position = np.full(len(problem.utility), problem.utility.shape[1], dtype=np.int64)
    position[patient[chosen]] = arm[chosen]
    gap = max(float(found.fun - found.mip_dual_bound), 0.0)
    return position, gap if gap > 1e-9 * max(abs(float(found.fun)), 1.0) else 0.0


def _relaxed(problem: Problem, limit: float, costs: FloatArray) -> tuple[float, float]:
    """Return the total of the linear programme, and the price of its budget."""
    from scipy import sparse
    from scipy.optimize import linprog

    (patient, arm), matrix, lower, upper = _programme(problem, limit, costs)
    finite = np.isfinite(lower) & (lower > 0)
    below = np.isfinite(upper)
    found = linprog(
        -problem.utility[patient, arm],
        A_ub=sparse.vstack([-matrix[np.flatnonzero(finite)], matrix[np.flatnonzero(below)]], format="csr"),
        b_ub=np.concatenate([-lower[finite], upper[below]]),
        bounds=(0, 1),
        method="highs",
    )
    return -float(found.fun), max(-float(found.ineqlin.marginals[-1]), 0.0)
