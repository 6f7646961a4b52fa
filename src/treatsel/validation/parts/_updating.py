"""Part: closed test of updates of the model."""

from treatsel._checks import count_of
from treatsel.errors import InputError
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity
from treatsel.validation.studies import update_closed_test

# Likelihood-ratio tests of logistic models need about ten events per parameter to follow their chi-squared
# distribution: Peduzzi et al. (1996). doi:10.1016/S0895-4356(96)00236-3
EVENTS_PER_PARAMETER = 10
WORDS = {
    "none": "none",
    "intercept": "a new intercept",
    "slope": "a new intercept and slope",
    "per_arm": "a new intercept for each arm and a slope",
    "refit": "refitting the model",
}


def updating(task: ValidationTask, _: Policies) -> PartResult:
    """Return the closed test of updates of the model on these patients."""
    arm = str(task.cohort.codebook.arm)
    X = task.cohort.X[task.seen]
    try:
        found = update_closed_test(task.by_arm[task.seen], X, task.observed, arm=arm)
    except InputError as error:
        return PartResult(not_estimable=[("Update of the model", str(error))])
    table = found.to_frame().rename_axis("method").reset_index()
    n_parameters = int(found.table["n_parameters"]["refit"])
    fewer = min(found.n_events, found.n - found.n_events)
    if fewer < EVENTS_PER_PARAMETER * n_parameters:
        why = (
            f"a refit would estimate {count_of(n_parameters, 'parameter')} from {count_of(fewer, 'patient')} "
            f"with the rarer outcome; the test needs at least {EVENTS_PER_PARAMETER} patients per parameter"
        )
        shown = table.drop(columns=["statistic", "df", "p_value", "rejected", "chosen"])
        return PartResult(tables={"updating": shown}, not_estimable=[("Closed test of updates", why)])
    if found.chosen == "none":
        return PartResult(tables={"updating": table})
    caution = (
        f"The closed test indicates an update before use in such patients: {WORDS[found.chosen]}. See the "
        "section on updating."
    )
    return PartResult(tables={"updating": table}, cautions=[Caution(Severity.UPDATE, caution)])
