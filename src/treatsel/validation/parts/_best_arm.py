"""Part: gain over the arm that is truly best, the headline, with both estimates and their simulated bias."""

from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from treatsel._disclosure import SMALLEST_GROUP, is_small
from treatsel._stats.estimate import not_estimable
from treatsel.metrics import BestArmGain, best_arm_gain
from treatsel.metrics.policy import BEFOREHAND, OF_FOLDS, ON_THIS_DATA
from treatsel.validation._policies import Policies, enough_events
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import MIN_EVENTS, Caution, PartResult, Severity, row_of
from treatsel.validation.parts._policies import _over_received

OVER = "gain over the best single arm"
ADJUSTED = f"{OVER}, {ON_THIS_DATA}, selection-adjusted interval"
NAMED = {
    BEFOREHAND: "gain over the arm named beforehand",
    OF_FOLDS: "gain over the best single arm of the other folds",
}


def best_arm(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the gain over the arm that is truly best: its interval, and estimates on both sides of it."""
    if policies.problem is not None:
        return PartResult()
    arms = enough_events(task, policies.scores.columns)
    if reason := _problem(arms, policies):
        nothing = not_estimable(reason, n=len(task.observed), n_events=None, level=task.level)
        return PartResult(figures=[row_of("gain", ADJUSTED, nothing)])
    found = _over_partitions(task, arms, policies)
    table = pd.concat([found.to_frame(), _beside(task, policies)], ignore_index=True)
    cautions = []
    if found.left_out:
        text = (
            f"Arms with fewer than {MIN_EVENTS} events or non-events are left out of the comparison with the "
            f"best single arm, which could be one of them: {[str(arm) for arm in found.left_out]}."
        )
        cautions.append(Caution(Severity.PARTIAL, text))
    return PartResult(
        figures=[
            row_of("gain", ADJUSTED, found.interval),
            row_of("gain", f"{OVER}, cross-fitted", found.cross_fitted),
        ],
        tables={"headline": table, "headline: policies": found.policies()},
        cautions=cautions,
    )


def _problem(arms: list[Any], policies: Policies) -> str | None:
    """Return why there is no comparison with the best single arm, if there is none."""
    if not arms:
        return f"no arm has {MIN_EVENTS} events and non-events"
    differ = 1 - policies.recommended[arms]
    if is_small(differ.sum().round()).any():  # such a gain is the outcome of these patients
        return f"the recommendations differ from one arm in fewer than {SMALLEST_GROUP} patients"
    return None


def _over_partitions(task: ValidationTask, arms: list[Any], policies: Policies) -> BestArmGain:
    """Return the gain; its intervals include how it varies between partitions into folds."""
    each = {
        id(one): best_arm_gain(
            one.scores,
            one.recommended,
            y_true=task.good_y,
            arms=arms,
            random_state=task.random_state,
            **one.options,
        )
        for one in (policies, *policies.others)
    }
    found = each[id(policies)]
    interval = policies.over_partitions(lambda one: each[id(one)].interval)
    return replace(
        found,
        interval=interval,
        cross_fitted=policies.over_partitions(lambda one: each[id(one)].cross_fitted),
        detectable=found.detectable * (interval.se / found.interval.se if found.interval.se > 0 else 1),
    )


def _beside(task: ValidationTask, policies: Policies) -> pd.DataFrame:
    """Return the gain over the arm named beforehand, and over the arms received, as rows of the table."""
    gains = {}
    if policies.gain.comparator_source in NAMED:
        gains[NAMED[policies.gain.comparator_source]] = policies.gain
    gains["gain over the received arm"] = policies.over_partitions(partial(_over_received, task))
    columns = ["value", "lower", "upper", "se", "p_value", "n", "method"]
    rows = [
        {"figure": name, **{column: getattr(gain, column) for column in columns}}
        | {"comparator_arm": None if gain.comparator_arm is None else str(gain.comparator_arm)}
        for name, gain in gains.items()
    ]
    return pd.DataFrame(rows)
