"""The decision for arrays of patients and arms: top arm, best set, status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import (
    ROUNDING,
    FloatArray,
    check_arm,
    check_choice,
    check_level,
    check_number,
    exceeds,
)
from treatsel._stats.ties import best_shares
from treatsel.errors import InputError
from treatsel.recommendation._comparison import BY_ARM, OF_TOP, Comparisons, compare, summed
from treatsel.recommendation._kernel import CODES, ranked, settled

RULES = ("expected", "switch", "default")
STATUSES = (
    "clear_gain",
    "default_best",
    "leaning",
    "equivalent",
    "undecided",
    "no_interval",
    "insufficient_evidence",
    "only_option",
    "out_of_scope",
)
# Probabilities that decide the status. With six arms and intervals of 15 to 30 points half-width, a rule that
# asks for a small P(regret > margin) of several arms would never hold.
CLEAR, LEANING, RULED_OUT = 0.95, 0.8, 0.2


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """Options of `recommend` that decide, checked: labels of arms are among the arms.

    Attributes
    ----------
    rule, margin, level, p_switch
        As in `recommend`.
    default_arm, comparator : label or None
        As in `recommend`; the comparator is the default arm unless another one was named.
    """

    rule: str
    margin: float
    level: float
    p_switch: float
    default_arm: Any
    comparator: Any

    @classmethod
    def of(
        cls,
        arms: Sequence[Any],
        *,
        rule: str,
        margin: float,
        level: float,
        p_switch: float,
        default_arm: Any,
        comparator: Any,
    ) -> "DecisionRule":
        """Check the options.

        Raises
        ------
        InputError
            If one is invalid, or an arm unknown.
        """
        check_choice("rule", rule, RULES)
        check_level(level)
        if not 0 <= check_number("margin", margin) < 1:
            raise InputError(
                f"margin is {margin}; it must be 0 or more and below 1 (a difference of proportions)."
            )
        if not 0.5 <= check_number("p_switch", p_switch) < 1:
            raise InputError(f"p_switch is {p_switch}; it must be a probability of 0.5 or more, and below 1.")
        if default_arm is not None:
            default_arm = check_arm("default_arm", default_arm, arms)
        elif rule == "default" or (rule == "switch" and comparator is None):
            raise InputError(f"Rule {rule!r} requires default_arm. Give one, or use rule='expected'.")
        comparator = default_arm if comparator is None else check_arm("comparator", comparator, arms)
        return cls(
            rule=rule,
            margin=float(margin),
            level=float(level),
            p_switch=float(p_switch),
            default_arm=default_arm,
            comparator=comparator,
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Decisions:
    """By patient: arms as positions (-1: none), best set, status, and what they rest on.

    `tied` marks the arms that share the highest value, where the comparator is not among them. `comparator`:
    position of the arm that the others are compared with, -1 where it is not permitted.
    """

    arm: np.ndarray
    top: np.ndarray
    tied: np.ndarray
    status: np.ndarray
    best_set: np.ndarray
    comparator: np.ndarray
    comparisons: Comparisons


def decide(
    values: FloatArray,
    draws: FloatArray | None,
    *,
    permitted: np.ndarray,
    enough: np.ndarray,
    in_scope: np.ndarray,
    arms: Sequence[Any],
    by: DecisionRule,
    compiled: bool = False,
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
    enough : array of bool of shape (n_arms,)
        Arms with sufficient evidence.
    in_scope : array of bool of shape (n_patients,)
        Patients for whom the model may be used.
    arms : sequence
        Labels of the arms.
    by : DecisionRule
        How to decide.
    compiled : bool
        Whether to compare with the compiled kernel.
    """
    default, chosen = (
        None if arm is None else list(arms).index(arm) for arm in (by.default_arm, by.comparator)
    )
    if compiled and draws is not None:
        decided = _decide_compiled(values, draws, permitted, enough, in_scope, (default, chosen), by)
        if decided is not None:
            return decided
    n_permitted = permitted.sum(axis=1)
    leading, top = _leading(values, permitted, chosen)
    tied = leading & (leading.sum(axis=1) > 1)[:, None]
    top = np.where(n_permitted > 0, top, -1)
    comparator = np.full(len(values), -1) if chosen is None else np.where(permitted[:, chosen], chosen, -1)
    found = compare(
        values,
        draws,
        permitted=permitted,
        comparator=comparator,
        top=top,
        margin=by.margin,
        level=by.level,
        compiled=compiled,
    )
    best_set = _best_set(
        values, found.expected_regret, permitted, top, by.margin, has_draws=draws is not None
    )
    known = np.append(enough, False)
    comparable = np.where(tied.any(axis=1), (~tied | enough).all(axis=1), known[top])
    comparable = comparable & (known[comparator] | (comparator < 0))
    p_better, above_top = _of_top(found, draws, tied, top, comparator, by.margin)
    difference = found.difference[np.arange(len(values)), top]
    status = np.full(len(values), "undecided", dtype=object)
    stays = (comparator >= 0) & (top == comparator)
    status[(best_set.sum(axis=1) > 1) & (above_top < RULED_OUT)] = "equivalent"
    status[p_better >= LEANING] = "leaning"
    status[stays & (above_top < RULED_OUT)] = "default_best"
    status[(p_better >= CLEAR) & ~exceeds(by.margin, difference)] = "clear_gain"
    if draws is None:
        status[:] = "no_interval"
    status[~comparable] = "insufficient_evidence"
    status[n_permitted == 1] = "only_option"
    status[~in_scope | (n_permitted == 0)] = "out_of_scope"
    arm = np.where(tied.any(axis=1), -1, top)  # no arm is the best of several that are tied
    top = arm.copy()
    if by.rule == "default" and default is not None:
        arm = np.where(permitted[:, default], default, top)
    elif by.rule == "switch":
        stays = (comparator >= 0) & ~(p_better > by.p_switch)
        arm = np.where(stays, comparator, top)
    return Decisions(
        arm=np.where(status == "out_of_scope", -1, arm),
        top=top,
        tied=tied,
        status=status,
        best_set=best_set,
        comparator=comparator,
        comparisons=found,
    )


def _decide_compiled(
    values: FloatArray,
    draws: FloatArray,
    permitted: np.ndarray,
    enough: np.ndarray,
    in_scope: np.ndarray,
    named: tuple[int | None, int | None],
    by: DecisionRule,
) -> Decisions | None:
    """Return the same decisions from the compiled kernels; None where arms are tied, or a value is missing.

    `named`: positions of default arm and comparator.
    """
    default, chosen = named
    places, tied = ranked(values, permitted, -1 if chosen is None else chosen, ROUNDING)
    if tied.any() or not np.isfinite(values).all():
        return None
    top, second, comparator = places
    sums, ends = summed(
        draws, permitted, comparator, (top, second), margin=by.margin, level=by.level, compiled=True
    )
    by_arm, of_top, best_set, codes, p_better = settled(
        values,
        sums,
        ends,
        len(draws),
        permitted=permitted,
        places=places,
        known=enough,
        in_scope=in_scope,
        margin=by.margin,
        tolerance=ROUNDING,
        limits=(CLEAR, LEANING, RULED_OUT),
    )
    arm = top
    if by.rule == "default" and default is not None:
        arm = np.where(permitted[:, default], default, top)
    elif by.rule == "switch":
        arm = np.where((comparator >= 0) & ~(p_better > by.p_switch), comparator, top)
    return Decisions(
        arm=np.where(codes == len(CODES) - 1, -1, arm),
        top=top,
        tied=np.zeros_like(permitted),
        status=_CODES[codes],
        best_set=best_set,
        comparator=comparator,
        comparisons=Comparisons(
            **dict(zip(BY_ARM, by_arm, strict=True)), **dict(zip(OF_TOP, of_top, strict=True))
        ),
    )


_CODES = np.array(CODES, dtype=object)


def _leading(
    values: FloatArray, permitted: np.ndarray, comparator: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which permitted arms have the highest value, and the position of the first of the highest.

    Validation evaluates the same rule: `best_shares`, with the default arm as the comparator.
    """
    available = np.where(permitted, values, -np.inf)
    leading = permitted & (best_shares(available, comparator) > 0)
    return leading, np.where(leading, values, -np.inf).argmax(axis=1)


def _of_top(
    found: Comparisons,
    draws: FloatArray | None,
    tied: np.ndarray,
    top: np.ndarray,
    comparator: np.ndarray,
    margin: float,
) -> tuple[FloatArray, FloatArray]:
    """Return P(top arm better than the comparator), and the largest P(another arm relevantly better than it).

    By patient; of several arms that are tied for the top, the least favorable values, so that the order of
    the arms does not matter. Without a comparator, or where it is the top arm, the first is 0.
    """
    rows, other = np.arange(len(top)), comparator != top
    p_better = np.where(other & (comparator >= 0), found.p_better[rows, top], 0.0)
    above_top = np.fmax.reduce(found.p_above_top, axis=1, initial=0.0)
    if draws is not None:
        for i in np.flatnonzero(tied.any(axis=1)).tolist():
            mine = tied[i]
            p_better[i] = np.fmin.reduce(found.p_better[i, mine], initial=1.0) if comparator[i] >= 0 else 0.0
            own, usable = draws[:, i], np.isfinite(found.p_best[i])
            lead = own[:, usable, None] - own[:, None, mine]
            above_top[i] = exceeds(lead, margin).mean(axis=0).max()
    return p_better, above_top


def _best_set(
    values: FloatArray,
    expected_regret: FloatArray,
    permitted: np.ndarray,
    top: np.ndarray,
    margin: float,
    *,
    has_draws: bool,
) -> np.ndarray:
    """Return the arms within the margin of the top arm from which a random one loses at most the margin.

    As many arms beside the top one, in the order of their expected regret, as keep the mean of the set at
    most the margin; at least the top arm. "Within the margin of the top arm" alone would not do: the top
    arm is the one that was overestimated. Without draws, every permitted arm.
    """
    if not has_draws:
        return permitted.copy()
    near = permitted & ~exceeds(values[np.arange(len(values)), top][:, None] - values, margin)
    rows, usable = np.arange(len(values)), np.where(near, expected_regret, np.inf)
    first = usable.copy()
    first[rows, top] = -np.inf  # the mean starts from the top arm
    # plain indexing: take_along_axis takes as long as the rest together, for one patient
    order = first.argsort(axis=1, kind="stable")
    mean = usable[rows[:, None], order].cumsum(axis=1) / np.arange(1, usable.shape[1] + 1)
    found = np.zeros_like(permitted)
    found[rows[:, None], order] = ~exceeds(mean, margin)
    found[rows[top >= 0], top[top >= 0]] = True
    return np.asarray(found & permitted)


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
