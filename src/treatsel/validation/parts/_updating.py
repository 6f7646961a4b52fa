"""Part: closed test of updates of the model."""

from treatsel.errors import InputError
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity
from treatsel.validation.parts._policies import Policies
from treatsel.validation.studies import update_closed_test

EVENTS_PER_PARAMETER = 10  # Peduzzi et al. (1996). doi:10.1016/S0895-4356(96)00236-3
WORDS = {
    "none": "none",
    "intercept": "a new intercept",
    "slope": "a new intercept and slope",
    "per_arm": "a new intercept for each arm and a slope",
    "refit": "fitting the model anew",
}


def updating(setting: ValidationTask, _: Policies) -> PartResult:
    """Return the closed test among ways to update the model on these patients."""
    arm = str(setting.cohort.codebook.arm)
    X = setting.cohort.X[setting.seen]
    try:
        found = update_closed_test(setting.by_arm[setting.seen], X, setting.observed, arm=arm)
    except InputError as error:
        return PartResult(not_estimable=[("Updating of the model", str(error))])
    table = found.to_frame().rename_axis("method").reset_index()
    learned = int(found.table["n_parameters"]["refit"])
    fewer = min(found.n_events, found.n - found.n_events)
    if fewer < EVENTS_PER_PARAMETER * learned:
        why = (
            f"fitting anew would learn {learned} numbers from {fewer:,} patients of the rarer outcome; the "
            f"test is to be trusted from {EVENTS_PER_PARAMETER} for each"
        )
        shown = table.drop(columns=["statistic", "df", "p_value", "rejected", "chosen"])
        return PartResult(tables={"updating": shown}, not_estimable=[("Closed test among updates", why)])
    if found.chosen == "none":
        return PartResult(tables={"updating": table})
    caution = (
        f"The closed test asks for an update before use in such patients: {WORDS[found.chosen]}. See the "
        "section on updating."
    )
    return PartResult(tables={"updating": table}, cautions=[Caution(Severity.UPDATE, caution)])
