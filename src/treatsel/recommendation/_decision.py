"""The decision for arrays of patients and arms: top arm, best set, status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import FloatArray, check_arm, exceeds
from treatsel._stats.ties import best_shares
from treatsel.additive import quantiles
from treatsel.errors import InputError

STATUSES = (
    "supported",
    "no_clear_best",
    "no_interval",
    "insufficient_evidence",
    "only_option",
    "out_of_scope",
)
_BLOCK = 256  # patients compared at once


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Decisions:
    """By patient: arms as positions (-1: none), best set, status, and the advantage with its interval.

    `tied` marks the arms that share the highest value, where the default arm is not among them.
    """

    arm: np.ndarray
    top: np.ndarray
    tied: np.ndarray
    status: np.ndarray
    best_set: np.ndarray
    advantage: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_best: FloatArray


def decide(
    values: FloatArray,
    draws: FloatArray | None,
    *,
    permitted: np.ndarray,
    default: int | None,
    enough: np.ndarray,
    in_scope: np.ndarray,
    rule: str,
    margin: float,
    level: float,
) -> Decisions:
    """Return decisions by the rules of `recommend`.

    Parameters
    ----------
    values : array of shape (n_patients, n_arms)
        The values to be compared.
    draws : array of shape (n_draws, n_patients, n_arms) or None
        Posterior draws of the values.
    permitted : array of bool of shape (n_patients, n_arms)
        Arms that a patient may receive.
    default : int or None
        Position of the default arm.
    enough : array of bool of shape (n_arms,)
        Arms with sufficient evidence.
    in_scope : array of bool of shape (n_patients,)
        Patients for whom the model may be used.
    rule, margin, level
        As in `recommend`.
    """
    rows, n_permitted = np.arange(len(values)), permitted.sum(axis=1)
    leading, top = _leading(values, permitted, default)
    tied = leading & (leading.sum(axis=1) > 1)[:, None]
    others = permitted.copy()
    others[rows, top] = False
    runner_up = np.where(n_permitted > 1, np.where(others, values, -np.inf).argmax(axis=1), -1)
    top = np.where(n_permitted > 0, top, -1)
    advantage = np.where(runner_up >= 0, values[rows, top] - values[rows, runner_up], np.nan)
    lower, upper, p_best = (np.full(len(values), np.nan) for _ in range(3))
    best_set = permitted.copy()
    for start in range(0, len(values) if draws is not None else 0, _BLOCK):
        found = np.flatnonzero(runner_up[start : start + _BLOCK] >= 0)
        i = start + found if len(found) < _BLOCK else slice(start, start + _BLOCK)  # a slice is no copy
        if draws is not None and len(found):
            lower[i], upper[i], p_best[i], clearly_worse = _compare_ties(
                draws[:, i], top[i], permitted[i], margin, level, tied=tied[i]
            )
            best_set[i] &= ~clearly_worse
    best_set |= permitted & ~enough
    known = np.append(enough, False)
    status = _status(best_set, enough, known[top] & known[runner_up], has_draws=draws is not None)
    status[n_permitted == 1] = "only_option"
    status[~in_scope | (n_permitted == 0)] = "out_of_scope"
    arm = np.where(tied.any(axis=1), -1, top)  # no arm is the best of several that are tied
    top = arm.copy()
    if rule == "supported" and default is not None:
        arm = np.where(permitted[:, default] & (status != "supported"), default, top)
    return Decisions(
        arm=np.where(status == "out_of_scope", -1, arm),
        top=top,
        tied=tied,
        status=status,
        best_set=best_set,
        advantage=advantage,
        lower=lower,
        upper=upper,
        p_best=p_best,
    )


def _leading(values: FloatArray, permitted: np.ndarray, default: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return which permitted arms have the highest value, and the position of the first of the highest.

    Validation evaluates the same rule: `best_shares`, with the default arm as the comparator.
    """
    available = np.where(permitted, values, -np.inf)
    leading = permitted & (best_shares(available, default) > 0)
    return leading, np.where(leading, values, -np.inf).argmax(axis=1)


def _compare_ties(
    draws: FloatArray,
    top: np.ndarray,
    permitted: np.ndarray,
    margin: float,
    level: float,
    *,
    tied: np.ndarray,
) -> tuple[FloatArray, FloatArray, FloatArray, np.ndarray]:
    """Return what `_compare` does, the same for any order of arms that are tied for the top.

    The interval is symmetric, P(best) the mean over the tied arms, and an arm is clearly worse only if it is
    so compared with each of them.
    """
    lower, upper, p_best, worse = _compare(draws, top, permitted, margin, level)
    rows = np.flatnonzero(tied.any(axis=1))
    if not len(rows):
        return lower, upper, p_best, worse
    widest = np.maximum(-lower[rows], upper[rows])
    total, worse[rows] = np.zeros(len(rows)), True
    for arm in range(tied.shape[1]):
        mine = np.flatnonzero(tied[rows, arm])
        at = rows[mine]
        if not len(at):
            continue
        found = _compare(draws[:, at], np.full(len(at), arm), permitted[at], margin, level)
        widest[mine] = np.maximum(widest[mine], np.maximum(-found[0], found[1]))
        total[mine] += found[2]
        worse[at] &= found[3]
    lower[rows], upper[rows], p_best[rows] = -widest, widest, total / tied[rows].sum(axis=1)
    return lower, upper, p_best, worse


def _compare(
    draws: FloatArray, top: np.ndarray, permitted: np.ndarray, margin: float, level: float
) -> tuple[FloatArray, FloatArray, FloatArray, np.ndarray]:
    """Return the interval of the advantage, P(top arm is best), and which arms are clearly worse than it.

    The advantage is the smallest of the differences to the other arms, so its bounds are the smallest of
    their simultaneous bounds: the interval and the set of clearly worse arms cannot contradict each other.
    """
    each = np.arange(len(top))
    by_patient = np.ascontiguousarray(np.moveaxis(draws, 0, -1))  # draws contiguous: sorting is then fast
    others = permitted.copy()
    others[each, top] = False
    # the arms to compare with, first in each row; a row with fewer is filled with its top arm, lead 0
    n_others = int(others.sum(axis=1).max())
    compared = np.argsort(~others, axis=1, kind="stable")[:, :n_others]
    filled = np.arange(n_others) >= others.sum(axis=1)[:, None]
    compared = np.where(filled, top[:, None], compared)
    lead = by_patient[each, top][:, None, :] - by_patient[each[:, None], compared]
    p_best = (lead.min(axis=1) >= 0).mean(axis=-1)
    below, above = _simultaneous(lead, filled, (1 + level) / 2)
    worse = np.zeros_like(others)
    worse[each[:, None], compared] = ~filled & exceeds(below, margin)
    return below.min(axis=1), above.min(axis=1), p_best, worse & others


def _simultaneous(lead: FloatArray, filled: np.ndarray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return simultaneous lower and upper bounds of (top - arm), shape (n_patients, n_others) each.

    They use a quantile of the largest standardized deviation over a patient's arms (max-t method), downwards
    for the lower bounds and upwards for the upper ones. `lead` has shape (n_patients, n_others, n_draws);
    `filled` marks places that are no arm, whose bounds are infinite.
    """
    center, spread = lead.mean(axis=-1), lead.std(axis=-1)
    deviation = (center[:, :, None] - lead) / np.where(spread > 0, spread, np.inf)[:, :, None]
    if filled.any():
        deviation = np.where(filled[:, :, None], np.nan, deviation)
    bounds = []
    for sign, largest in ((1, np.fmax.reduce(deviation, axis=1)), (-1, -np.fmin.reduce(deviation, axis=1))):
        critical = quantiles(largest, [level])[0][:, None]
        bounds.append(np.where(filled, np.inf, center - sign * critical * spread))
    return bounds[0], bounds[1]


def _status(
    best_set: np.ndarray, enough: np.ndarray, comparable: np.ndarray, *, has_draws: bool
) -> np.ndarray:
    undecided = (best_set & enough).sum(axis=1) > 1
    status = np.where(undecided, "no_clear_best", "insufficient_evidence").astype(object)
    status[best_set.sum(axis=1) == 1] = "supported"
    status[~comparable] = "insufficient_evidence"
    if not has_draws:  # without intervals, no difference is clear or unclear
        status[status != "insufficient_evidence"] = "no_interval"
    return status


def reasons_of(excluded: Any, arms: Sequence[Any]) -> dict[Any, str]:
    """Return the arms that are not available to any patient, with reasons."""
    if excluded is None:
        return {}
    if not isinstance(excluded, Mapping):
        raise InputError(f"excluded must map arms to reasons; it is a {type(excluded).__name__}.")
    found: dict[Any, str] = {}
    for arm, reason in excluded.items():
        known = check_arm("An arm to exclude", arm, arms)
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"excluded names {arm!r} without a reason. Give the reason as a text.")
        found[known] = reason
    return found
