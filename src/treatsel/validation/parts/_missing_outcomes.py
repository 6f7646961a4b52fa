"""Part: bounds over missing outcomes."""

import pandas as pd

from treatsel._reporting.format import points
from treatsel.metrics.missing import gain_missing_bounds, missing_outcome_bounds
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity, row


def missing_outcomes(task: ValidationTask, policies: Policies) -> PartResult:
    """Return bounds on rates and gain under extreme assumptions about the missing outcomes."""
    if task.seen.all():
        return PartResult()
    y, received = task.y if task.good else 1 - task.y, task.received
    arms = list(policies.table.columns)
    whole = task.by_arm[arms] if task.good else 1 - task.by_arm[arms]
    rates = missing_outcome_bounds(y, received, level=task.level).to_frame()
    there, groups = received.isin(arms).to_numpy(), task.all_clusters
    bounds = gain_missing_bounds(
        y[there],
        received[there],
        whole[there],
        policies.propensity_all[there],
        policies.recommended_all[there],
        comparator=policies.best_single_arm(there),
        clusters=None if groups is None else groups[there],
        level=task.level,
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
        "If the missing outcomes were as unfavorable as possible to the recommendations, the gain would be "
        f"{points(lowest['value'])}; if as favorable as possible, {points(highest['value'])}."
    )
    sure = (policies.gain.lower > 0 and lowest["lower"] <= 0) or (policies.gain.upper < 0 <= highest["upper"])
    severity = Severity.MAY_OVERTURN if sure else Severity.LOST
    cautions = [Caution(severity, caution)] if policies.gain.n_discordant else []
    return PartResult(figures=rows, tables=tables, cautions=cautions)
