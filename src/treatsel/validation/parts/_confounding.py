"""Part: sensitivity to unmeasured confounding."""

from typing import Any

from treatsel.metrics import received_propensity
from treatsel.metrics.sensitivity import policy_sensitivity
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row
from treatsel.validation.parts._utility import N_RESAMPLES


def confounding(task: ValidationTask, policies: Policies) -> PartResult:
    """Return bounds on the gain if an unmeasured variable influenced the assignment of arms."""
    if not policies.assignment.startswith("estimated") or not policies.gain.n_discordant:
        return PartResult()
    found = policy_sensitivity(
        task.good_y,
        task.arms,
        policies.recommended,
        propensity=received_propensity(task.arms, policies.propensity),
        comparator=policies.gain.comparator_arm,
        n_resamples=N_RESAMPLES,
        random_state=task.seed,
        **policies.options,
    )
    frame = found.to_frame()
    table = frame[frame["measure"] == "gain"].drop(columns="measure").reset_index(drop=True)
    rows = [
        row(
            "confounding",
            f"gain over the best single arm, Lambda {line['Lambda']:g}",
            0.5 * (line["lowest"] + line["highest"]),
            line["lower"],
            line["upper"],
            n=found.n,
            n_events=found.n_events,
            method=_method(line, found.method),
        )
        for line in table.to_dict(orient="records")
    ]
    return PartResult(figures=rows, tables={"confounding": table})


def _method(line: dict[Any, Any], method: str) -> str:
    """Return the bounds and the method, or why there are none."""
    if line["lowest"] != line["lowest"]:
        return (
            f"not estimable: too few patients received the recommended arm or the best single arm; {method}"
        )
    return f"bounds {line['lowest']:+.3f} to {line['highest']:+.3f}; {method}"
