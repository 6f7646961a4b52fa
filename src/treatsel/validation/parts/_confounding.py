"""Part: sensitivity to unmeasured confounding."""

from treatsel.metrics import received_propensity
from treatsel.metrics.sensitivity import policy_sensitivity
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row
from treatsel.validation.parts._policies import Policies
from treatsel.validation.parts._utility import N_RESAMPLES


def confounding(setting: ValidationTask, policies: Policies) -> PartResult:
    """Return what the gain may be worth if something unmeasured decided who got which arm."""
    if not policies.assignment.startswith("estimated") or not policies.gain.n_discordant:
        return PartResult()
    found = policy_sensitivity(
        setting.good_y,
        setting.arms,
        policies.recommended,
        propensity=received_propensity(setting.arms, policies.chances),
        comparator=policies.gain.comparator_arm,
        n_resamples=N_RESAMPLES,
        random_state=setting.seed,
        **policies.options,
    )
    rows = found.to_frame()
    table = rows[rows["measure"] == "gain"].drop(columns="measure").reset_index(drop=True)
    told = [
        row(
            "confounding",
            f"gain over the best single arm, Lambda {line['Lambda']:g}",
            0.5 * (line["lowest"] + line["highest"]),
            line["lower"],
            line["upper"],
            n=found.n,
            n_events=found.n_events,
            method=f"bounds {line['lowest']:+.3f} to {line['highest']:+.3f}; {found.method}",
        )
        for line in table.to_dict(orient="records")
    ]
    return PartResult(figures=told, tables={"confounding": table})
