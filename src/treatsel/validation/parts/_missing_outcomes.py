"""Part: bounds over missing outcomes."""

import pandas as pd

from treatsel._reporting.format import points
from treatsel._stats.by_arm_tables import recommended_arms
from treatsel.metrics.missing import gain_missing_bounds, missing_outcome_bounds
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity, row
from treatsel.validation.parts._policies import Policies


def missing_outcomes(setting: ValidationTask, policies: Policies) -> PartResult:
    """Return what extreme assumptions about the missing outcomes make of rates and gain."""
    if setting.seen.all():
        return PartResult()
    y, received = setting.y if setting.good else 1 - setting.y, setting.received
    arms = list(policies.table.columns)
    whole = setting.by_arm[arms] if setting.good else 1 - setting.by_arm[arms]
    rates = missing_outcome_bounds(y, received, level=setting.level).to_frame()
    there, groups = received.isin(arms).to_numpy(), setting.all_clusters
    bounds = gain_missing_bounds(
        y[there],
        received[there],
        whole[there],
        policies.everybody[there],
        recommended_arms(whole[there], policies.best_arm),
        comparator=policies.gain.comparator_arm,
        clusters=None if groups is None else groups[there],
        level=setting.level,
    ).to_frame()
    tables = {"missing outcomes": pd.concat([rates, bounds], ignore_index=True)}
    rows = [
        row(
            "missing outcomes",
            f"gain over the best single arm, {found['scenario']}",
            *(found[key] for key in ("value", "lower", "upper")),
            n=found["n"],
            method=found["method"],
        )
        for found in bounds.to_dict(orient="records")
    ]
    lowest, highest = (bounds.set_index("scenario").loc[name] for name in ("lowest", "highest"))
    caution = (
        "If the missing outcomes were as bad as can be for the recommendations, the gain would be "
        f"{points(lowest['value'])}; as good as can be, {points(highest['value'])}."
    )
    sure = (policies.gain.lower > 0 and lowest["lower"] <= 0) or (policies.gain.upper < 0 <= highest["upper"])
    gravity = Severity.MAY_OVERTURN if sure else Severity.LOST
    cautions = [Caution(gravity, caution)] if policies.gain.n_discordant else []
    return PartResult(figures=rows, tables=tables, cautions=cautions)
