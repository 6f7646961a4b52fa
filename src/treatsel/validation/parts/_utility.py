"""Part: clinical utility of single predictions and of the choice among arms."""

import numpy as np

from treatsel.metrics.utility import decision_curve, treatment_choice_net_benefit
from treatsel.validation._policies import Policies
from treatsel.validation._small_groups import safe_thresholds
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row

N_RESAMPLES = 200  # enough for percentiles of 95 % intervals in a report
THRESHOLDS = np.arange(1, 20) / 20
COSTS = (0, 5, 10)  # percentage points; the curve holds all thresholds


def utility(task: ValidationTask, policies: Policies) -> PartResult:
    """Return decision curves for the received arm, and the net benefit of treatment choice."""
    own = task.own if task.good else 1 - task.own
    thresholds = safe_thresholds(THRESHOLDS, own, task.good_y)
    if not len(thresholds):
        few = "between any two thresholds there are so few patients that they could be told from the curve"
        return PartResult(not_estimable=[("Utility", few)])
    curve = decision_curve(
        task.good_y,
        {"model": own},
        thresholds=thresholds,
        n_resamples=N_RESAMPLES,
        clusters=task.clusters,
        random_state=task.seed,
        level=task.level,
        **task.weights(),
    )
    comparator = policies.gain.comparator_arm
    choice = treatment_choice_net_benefit(
        policies.scores, policies.table, comparator=comparator, **policies.options
    )
    model = choice.to_frame().query("strategy == 'model'").to_dict(orient="records")
    rows = [
        row(
            "utility",
            f"net benefit of treatment choice, other arms cost {100 * at['threshold']:g} points",
            *(at[key] for key in ("value", "lower", "upper")),
            n=choice.n,
            method=choice.method,
        )
        for at in model
        if round(100 * at["threshold"]) in COSTS
    ]
    return PartResult(
        figures=rows,
        tables={
            "decision curve": curve.to_frame(),
            "decision curve differences": curve.differences,
            "choice curve": choice.to_frame(),
        },
    )
