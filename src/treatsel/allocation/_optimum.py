"""The optimal assignment of a problem, with the prices of its limits.

Utilities are rounded to about 1e-12 of the largest one and multiplied by a power of two, below which a number
drawn for each patient and arm is added. The arithmetic is then exact, and ties are decided by this draw,
which depends on the id of the patient and the name of the arm alone. Patients and arms are sorted by draw
and name before, so that the order of the table has no effect.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, as_text, count_of
from treatsel.allocation._flow import NEVER, Flow, IntArray, Limits
from treatsel.allocation._problem import BoolArray, Minimum, Positions, Problem
from treatsel.errors import InputError

_GRID = 2**40  # steps of a utility: 1e-12 of the largest one, which no result depends on
_DRAWS = 2**9  # different numbers that are drawn: n patients can shift the total by n steps at most
_FORBIDDEN = -(NEVER // 2)
_DECIMALS = 10  # of prices, in units of the largest utility; the draws and the grid lie below


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """An optimal assignment.

    Attributes
    ----------
    position : ndarray of int of shape (n_patients,)
        Column of each patient's arm; the number of arms for a patient who waits.
    gain_of_one_more, loss_of_one_less : ndarray of shape (n_arms,)
        Change of the total with one place more or less; NaN if there cannot be one less.
    margin : float
        What the best different assignment loses: 0 if several are optimal, infinite if there is no other.
    tied : ndarray of bool of shape (n_patients,)
        Whether the patient has another arm in another optimal assignment.
    """

    position: Positions
    gain_of_one_more: FloatArray
    loss_of_one_less: FloatArray
    margin: float
    tied: BoolArray


def total_of(utility: FloatArray, position: Positions) -> float:
    """Return the total utility of an assignment, whatever the order of patients."""
    rows = np.flatnonzero(position < utility.shape[1])
    return fsum(utility[rows, position[rows]].tolist())


def optimum(problem: Problem) -> Optimum:
    """Return an optimal assignment, or raise if the limits cannot all hold."""
    draws = drawn(problem)
    patients, arms = _order(problem, draws)
    flow, scale = _flow(problem, draws, patients, arms)
    if not flow.solve():
        _refuse(problem)
    return _found(flow, scale, patients, arms)


def drawn(problem: Problem) -> npt.NDArray[np.uint64]:
    """Return a number for each patient and arm, a function of id and name alone (SplitMix64)."""
    patients, arms = (
        np.array([_hash(as_text(label)) for label in labels], dtype=np.uint64)
        for labels in (problem.patients, problem.arms)
    )
    mixed = patients[:, None] ^ arms[None]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _order(problem: Problem, draws: npt.NDArray[np.uint64]) -> tuple[Positions, Positions]:
    """Return the order in which patients and arms are treated."""
    names = [as_text(arm) for arm in problem.arms]
    arms = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    return np.asarray(np.argsort(draws[:, arms[0]], kind="stable"), dtype=np.int64), arms


def _flow(
    problem: Problem, draws: npt.NDArray[np.uint64], patients: Positions, arms: Positions
) -> tuple[Flow, float]:
    """Return the flow in sorted order, with waiting as the last arm, and the size of one step."""
    largest = float(np.abs(problem.utility).max()) or 1.0
    scores = np.rint(problem.utility / largest * _GRID).astype(np.int64) * _DRAWS
    scores += (draws % np.uint64(_DRAWS)).astype(np.int64)
    scores = np.where(problem.allowed, scores, _FORBIDDEN)[np.ix_(patients, arms)]
    waiting = np.full((len(scores), 1), 0 if problem.defer else _FORBIDDEN)
    if not problem.defer and not problem.allowed.any(axis=1).all():
        _refuse(problem)
    flow = Flow(np.hstack([scores, waiting]), problem.groups[patients], _limits(problem, arms))
    return flow, largest / (_GRID * _DRAWS)


def _limits(problem: Problem, arms: Positions) -> Limits:
    n, n_arms, n_groups = len(problem.utility), len(arms), len(problem.group_names)
    lower, upper = np.zeros(n_arms + 1, dtype=np.int64), np.full(n_arms + 1, n, dtype=np.int64)
    upper[:-1] = problem.capacity[arms]
    cell_lower = np.zeros((n_groups, n_arms + 1), dtype=np.int64)
    cell_upper = np.full((n_groups, n_arms + 1), n, dtype=np.int64)
    sizes = np.bincount(problem.groups, minlength=n_groups)
    place = np.argsort(arms)
    for each in problem.minimums:
        if each.group is None and each.arm is not None:
            lower[place[each.arm]] = each.n
        elif each.group is not None and each.arm is not None:
            cell_lower[each.group, place[each.arm]] = each.n
        elif each.group is not None:
            cell_upper[each.group, -1] = sizes[each.group] - each.n
    if (lower > upper).any() or (cell_upper < 0).any():
        _refuse(problem)
    return Limits(cell_lower=cell_lower, cell_upper=cell_upper, lower=lower, upper=upper)


def _found(flow: Flow, scale: float, patients: Positions, arms: Positions) -> Optimum:
    """Return the assignment in the order of the table, and what changes would gain or lose."""
    distances = flow.distances()
    nodes = flow.n_cells + np.arange(len(arms))
    more = -distances[flow.sink, nodes]
    less = np.where(flow.placed[:-1] < flow.limits.upper[:-1], 0, distances[nodes, flow.sink])
    losses = flow.losses_of_changes(distances).min(axis=1)
    # paths along ties have the length of their draws, of at most two steps for each node
    negligible = 2 * _DRAWS * len(distances)
    margin = int(losses.min())
    gain, loss = np.zeros(len(arms)), np.zeros(len(arms))
    gain[arms], loss[arms] = _rounded(more, scale), _rounded(less, scale)
    position, tied = np.zeros(len(patients), dtype=np.int64), np.zeros(len(patients), dtype=bool)
    position[patients] = np.append(arms, len(arms))[flow.arm]
    tied[patients] = losses <= negligible
    if margin >= NEVER // 2:
        return Optimum(
            position=position, gain_of_one_more=gain, loss_of_one_less=loss, margin=np.inf, tied=tied
        )
    lost = 0.0 if margin <= negligible else float(_rounded(np.array([margin]), scale)[0])
    return Optimum(position=position, gain_of_one_more=gain, loss_of_one_less=loss, margin=lost, tied=tied)


def _rounded(steps: IntArray, scale: float) -> FloatArray:
    """Return steps as utilities, without what is due to rounding and draws; NaN for what is impossible."""
    largest = scale * _GRID * _DRAWS
    values = np.round(steps / (_GRID * _DRAWS), _DECIMALS) * largest
    return np.where(np.abs(steps) >= NEVER // 2, np.nan, np.maximum(values, 0.0))


def _refuse(problem: Problem) -> None:
    """Raise with the number of places or patients that are missing."""
    n, n_arms = problem.allowed.shape
    everyone = replace(
        problem, utility=np.where(problem.allowed, 1.0, 0.0), minimums=(), defer=True, groups=np.zeros(n, int)
    )
    if not problem.defer:
        position = optimum(replace(everyone, group_names=(None,))).position
        if lack := int((position == n_arms).sum()):
            none = int((~problem.allowed.any(axis=1)).sum())
            told = f" {count_of(none, 'patient')} may have no arm at all." if none else ""
            raise InputError(
                f"{count_of(lack, 'place')} missing: of {count_of(n, 'patient')}, at most {n - lack:,} can "
                f"get an arm that is allowed for them and has a place.{told} Add places, allow more "
                "arms, or use defer=True."
            )
    for each in problem.minimums:
        _check_alone(problem, everyone, each)
    raise InputError(
        "The minimums cannot all be met together within the capacities and permissions"
        f"{'' if problem.defer else ' while every patient gets an arm'}, although each can alone. Lower "
        "one of them."
    )


def _check_alone(problem: Problem, everyone: Problem, each: Minimum) -> None:
    """Raise if a minimum cannot be met even without the others."""
    allowed: Any = everyone.allowed.copy()
    if each.group is not None:
        allowed &= (problem.groups == each.group)[:, None]
    if each.arm is not None:
        allowed &= (np.arange(allowed.shape[1]) == each.arm)[None]
    alone = replace(everyone, allowed=allowed, utility=np.where(allowed, 1.0, 0.0), group_names=(None,))
    most = int((optimum(alone).position < allowed.shape[1]).sum())
    if most < each.n:
        whom = f" of arm {problem.arms[each.arm]!r}" if each.arm is not None else ""
        where = f" in group {problem.group_names[each.group]!r}" if each.group is not None else ""
        raise InputError(
            f"The minimum{whom}{where} is {each.n:,}, but at most {count_of(most, 'patient')} can be "
            "counted: "
            f"{each.n - most:,} missing. Lower it, or add places or permissions."
        )
