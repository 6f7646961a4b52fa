"""Part: heterogeneity of treatment effects, in the order of the PATH statement."""

from typing import Any

import pandas as pd

from treatsel._measures import MEASURES
from treatsel.metrics.benefit import effect_by_risk, effect_modification_test
from treatsel.validation._policies import Policies
from treatsel.validation._small_groups import group_count
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._benefit import MAX_ARM_PAIRS
from treatsel.validation.parts._part import PartResult, row_of

QUARTERS = 4


def effect_modification(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the effect of each arm by predicted risk, then one omnibus test of effect modification.

    The risk is the mean over arms of the predicted probability of the good outcome. Each of the arms received
    by most patients is compared with the comparator of the gain.
    """
    control, table = policies.gain.comparator_arm, policies.table
    test = effect_modification_test(policies.scores, table, **policies.options)
    rows = [row_of("modification", MEASURES["effect_modification_slope"].label, test.slope)]
    counts = dict(pd.Series(task.arms).value_counts().items())
    others = sorted((arm for arm in table if arm != control), key=lambda arm: (-counts[arm], str(arm)))
    bins = group_count(min(counts[arm] for arm in table), QUARTERS)
    by_risk = []
    for arm in others[:MAX_ARM_PAIRS]:
        options: dict[str, Any] = {"control": control, "treated": arm, "n_bins": bins, **policies.options}
        found = effect_by_risk(policies.scores, table.mean(axis=1), **options)
        pair = f"{arm} v {control}"
        rows.append(row_of("modification", MEASURES["average_benefit"].label, found.overall, pair))
        rows.append(row_of("modification", MEASURES["effect_risk_trend"].label, found.trend, pair))
        by_risk.append(found.to_frame().assign(pair=pair, p_trend=found.trend.p_value))
    tables = {
        "effect by risk": pd.concat(by_risk, ignore_index=True),
        "effect modification test": test.to_frame(),
    }
    return PartResult(figures=rows, tables=tables)
