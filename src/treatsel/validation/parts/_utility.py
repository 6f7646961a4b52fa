"""Parts that ask one question each: calibration errors, use, missing outcomes, updating, sample size."""

import numpy as np

from treatsel.metrics.utility import decision_curve, treatment_choice_net_benefit
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row
from treatsel.validation.parts._policies import Policies

N_RESAMPLES = 200
THRESHOLDS = np.arange(1, 20) / 20
COSTS = (0, 5, 10)  # points, shown as figures


def utility(setting: ValidationTask, policies: Policies) -> PartResult:
    """Return decision curves for the received arm, and the net benefit of choosing among arms."""
    own = setting.own if setting.good else 1 - setting.own
    curve = decision_curve(
        setting.good_y,
        {"model": own},
        thresholds=THRESHOLDS,
        n_resamples=N_RESAMPLES,
        clusters=setting.clusters,
        random_state=setting.seed,
        level=setting.level,
    )
    comparator = policies.gain.comparator_arm
    choice = treatment_choice_net_benefit(
        policies.scores, policies.table, comparator=comparator, **policies.options
    )
    model = choice.to_frame().query("strategy == 'model'").to_dict(orient="records")
    rows = [
        row(
            "utility",
            f"net benefit of choosing, other arms cost {100 * at['threshold']:g} points",
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
