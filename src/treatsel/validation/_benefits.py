"""Benefit of each arm over the best single arm: it should be larger where it is said to be larger."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel.errors import InputError
from treatsel.metrics import Estimate
from treatsel.metrics.benefit import benefit_calibration, c_for_benefit, match_pairs, rate
from treatsel.validation._part import Part, joined, row_of
from treatsel.validation._policy import Policies
from treatsel.validation._setting import Setting

MOST_MATCHED = 5000  # patients of two arms that are matched; of more, a draw is
MOST_PAIRS = 5  # arms compared with the best single one: those that most patients received


def benefits(setting: Setting, policies: Policies) -> Part:
    """Return calibration and ranking of the predicted benefit, for each arm against the best single one."""
    control = policies.gain.best_arm
    others = [arm for arm in policies.table.columns if arm != control]
    counts = pd.Series(setting.arms).value_counts()
    chosen = sorted(others, key=lambda arm: (-counts[arm], str(arm)))[:MOST_PAIRS]
    parts = {str(arm): _attempt(setting, policies, control, arm) for arm in chosen}
    whole = joined(parts)
    tables = {}
    for name in ("toc", "benefit groups"):
        found = [part.tables[name] for part in parts.values() if name in part.tables]
        if found:
            tables[name] = pd.concat(found, ignore_index=True)
    left = list(whole.not_estimable)
    if len(others) > len(chosen):
        left.append(
            (f"Benefit of {len(others) - len(chosen)} rarer arms", f"only {MOST_PAIRS} pairs are shown")
        )
    return Part(figures=whole.figures, tables=tables, not_estimable=left)


def _attempt(setting: Setting, policies: Policies, control: Any, treated: Any) -> Part:
    pair = f"{treated} v {control}"
    try:
        return _pair(setting, policies, control, treated, pair)
    except InputError as error:
        return Part(not_estimable=[(f"Benefit of {pair}", str(error))])


def _pair(setting: Setting, policies: Policies, control: Any, treated: Any, pair: str) -> Part:
    y, arms = setting.good_y, setting.arms
    patients = (y, arms, policies.table, policies.chances)
    line = benefit_calibration(*patients, control=control, treated=treated, **policies.options)
    ranked = rate(
        *patients,
        control=control,
        treated=treated,
        random_state=setting.seed,
        at=np.arange(1, 21) / 20,
        **policies.options,
    )
    rows = [
        row_of("benefit", "average benefit less predicted", line.in_the_large, pair),
        row_of("benefit", "slope of benefit", line.slope, pair),
        row_of("benefit", "AUTOC", ranked.autoc, pair),
        row_of("benefit", "Qini", ranked.qini, pair),
        row_of("benefit", "c-for-benefit", _concordance(setting, policies, control, treated), pair),
    ]
    tables = {"toc": ranked.to_frame().assign(pair=pair), "benefit groups": line.to_frame().assign(pair=pair)}
    return Part(figures=rows, tables=tables)


def _concordance(setting: Setting, policies: Policies, control: Any, treated: Any) -> Estimate:
    mine = np.flatnonzero(np.isin(setting.arms, np.array([control, treated], dtype=object)))
    if len(mine) > MOST_MATCHED:
        mine = np.sort(np.random.default_rng(setting.seed).choice(mine, MOST_MATCHED, replace=False))
    pairs = match_pairs(
        setting.good_y[mine], setting.arms[mine], policies.table.iloc[mine], control=control, treated=treated
    )
    return c_for_benefit(pairs, level=setting.level)
