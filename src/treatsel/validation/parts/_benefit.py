"""Part: calibration and ranking of the predicted benefit of each arm over the best single arm."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._measures import MEASURES
from treatsel.errors import InputError
from treatsel.metrics import Estimate
from treatsel.metrics.benefit import (
    BenefitErrors,
    MatchedPairs,
    benefit_calibration,
    brier_for_benefit,
    c_for_benefit,
    cross_entropy_for_benefit,
    e_for_benefit,
    logit_benefit_recalibration,
    match_pairs,
    rank_weighted_average_treatment_effect,
)
from treatsel.validation._policies import Policies
from treatsel.validation._small_groups import group_count, safe_shares
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, joined, row_of

# Matching takes time and memory of order n^2: if two arms have more patients, a random sample is matched.
MAX_MATCHED = 5000
N_RESAMPLES = 200  # each matches and smooths again; enough for percentiles of 95 % intervals
MANY_PAIRS = 1000  # above this number of pairs, half as many resamples limit the computing time
ERRORS = {name: MEASURES[f"{name}_for_benefit"].label for name in ("eavg", "e50", "e90")}
MAX_ARM_PAIRS = (
    5  # arms compared with the best single arm: those received by most patients, to keep tables short
)


def benefit(task: ValidationTask, policies: Policies) -> PartResult:
    """Return calibration and ranking of the predicted benefit of each arm over the best single arm."""
    control = policies.gain.comparator_arm
    others = [arm for arm in policies.table.columns if arm != control]
    counts = pd.Series(task.arms).value_counts()
    chosen = sorted(others, key=lambda arm: (-counts[arm], str(arm)))[:MAX_ARM_PAIRS]
    parts = {str(arm): _attempt(_pair, task, policies, control, arm) for arm in chosen}
    parts["main"] = _attempt(_main_pair, task, policies, control, chosen[0])
    whole = joined(parts)
    tables = {}
    for name in ("toc", "benefit groups", "benefit errors"):
        found = [part.tables[name] for part in parts.values() if name in part.tables]
        if found:
            tables[name] = pd.concat(found, ignore_index=True)
    left = list(whole.not_estimable)
    if len(others) > len(chosen):
        left.append(
            (
                f"Benefit of {count_of(len(others) - len(chosen), 'rarer arm')}",
                f"only {MAX_ARM_PAIRS} pairs are shown",
            )
        )
    return PartResult(figures=whole.figures, tables=tables, not_estimable=left)


def _attempt(
    part: Callable[..., PartResult], task: ValidationTask, policies: Policies, control: Any, treated: Any
) -> PartResult:
    pair = f"{treated} v {control}"
    try:
        return part(task, policies, control, treated, pair)
    except InputError as error:
        return PartResult(not_estimable=[(f"Benefit of {pair}", str(error))])


def _pair(task: ValidationTask, policies: Policies, control: Any, treated: Any, pair: str) -> PartResult:
    y, arms = task.good_y, task.arms
    patients = (y, arms, policies.table, policies.propensity)
    n = int(np.isin(arms, np.array([control, treated], dtype=object)).sum())
    line = benefit_calibration(
        *patients, control=control, treated=treated, n_bins=group_count(n), **policies.options
    )
    ranked = rank_weighted_average_treatment_effect(
        *patients,
        control=control,
        treated=treated,
        random_state=task.seed,
        at=safe_shares(n),
        **policies.options,
    )
    rows = [
        row_of("benefit", "average benefit minus predicted", line.in_the_large, pair),
        row_of("benefit", "benefit slope", line.slope, pair),
        row_of("benefit", "AUTOC", ranked.autoc, pair),
        row_of("benefit", "Qini", ranked.qini, pair),
        row_of("benefit", "c-for-benefit", _concordance(task, policies, control, treated), pair),
    ]
    tables = {"toc": ranked.to_frame().assign(pair=pair), "benefit groups": line.to_frame().assign(pair=pair)}
    return PartResult(figures=rows, tables=tables)


def _main_pair(task: ValidationTask, policies: Policies, control: Any, treated: Any, pair: str) -> PartResult:
    """Return estimates for the main pair only: logit recalibration, errors and losses of matched pairs."""
    patients = (task.good_y, task.arms, policies.table)
    line = logit_benefit_recalibration(*patients, control=control, treated=treated, **policies.options)
    pairs = _matched(task, policies, control, treated)
    n_resamples = N_RESAMPLES if len(pairs) <= MANY_PAIRS else N_RESAMPLES // 2
    errors = e_for_benefit(pairs, n_resamples=n_resamples, random_state=task.seed, level=task.level)
    rows = [
        row_of("benefit", "benefit on the logit, intercept", line.intercept, pair),
        row_of("benefit", "benefit on the logit, slope", line.slope, pair),
        *(row_of("benefit", label, getattr(errors, name), pair) for name, label in ERRORS.items()),
        row_of("benefit", "Brier score for benefit", brier_for_benefit(pairs, level=task.level), pair),
        row_of(
            "benefit",
            "cross-entropy for benefit",
            cross_entropy_for_benefit(pairs, level=task.level),
            pair,
        ),
    ]
    if not np.isfinite(errors.eavg.value):
        return PartResult(figures=rows)
    return PartResult(
        figures=rows, tables={"benefit errors": _under_calibration(task, pairs, errors).assign(pair=pair)}
    )


def _under_calibration(task: ValidationTask, pairs: MatchedPairs, errors: BenefitErrors) -> pd.DataFrame:
    """Return the errors next to those expected when outcomes are drawn from the predictions."""
    random, drawn = np.random.default_rng([task.seed, 2]), []
    for _ in range(N_RESAMPLES // 2):
        outcomes = [random.random(len(pairs)) < chance for chance in (pairs.p_treated, pairs.p_control)]
        observed = outcomes[0].astype(float) - outcomes[1]
        again = MatchedPairs.of(observed, pairs.p_treated, pairs.p_control, mean_benefit=pairs.mean_benefit)
        found = e_for_benefit(again, n_resamples=None)
        drawn.append([getattr(found, name).value for name in ERRORS])
    table = errors.to_frame().loc[list(ERRORS), ["value", "lower", "upper", "n"]].reset_index()
    return table.assign(
        expected_under_calibration=np.nanmean(drawn, axis=0),
        q95_under_calibration=np.nanquantile(drawn, 0.95, axis=0),
    )


def _concordance(task: ValidationTask, policies: Policies, control: Any, treated: Any) -> Estimate:
    return c_for_benefit(_matched(task, policies, control, treated), level=task.level)


def _matched(task: ValidationTask, policies: Policies, control: Any, treated: Any) -> MatchedPairs:
    mine = np.flatnonzero(np.isin(task.arms, np.array([control, treated], dtype=object)))
    if len(mine) > MAX_MATCHED:
        mine = np.sort(np.random.default_rng(task.seed).choice(mine, MAX_MATCHED, replace=False))
    return match_pairs(
        task.good_y[mine],
        task.arms[mine],
        policies.table.iloc[mine],
        control=control,
        treated=treated,
        clusters=None if task.clusters is None else task.clusters[mine],
    )
