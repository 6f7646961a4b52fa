"""Part: the estimand, and whether it was planned."""

import pandas as pd

from treatsel._checks import count_of
from treatsel.codebook import Field, sources_of
from treatsel.validation._plan import EVENTS, STRATEGIES, ValidationPlan
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity

USED = "treatment policy"  # what a cohort allows: outcomes are used whatever happened after the start
NOT_STATED = "not stated"


def estimand(task: ValidationTask, policies: Policies, plan: ValidationPlan | None = None) -> PartResult:
    """Return the five attributes of the estimand (ICH E9 R1), from the plan where it states them."""
    title = task.cohort.codebook.titles.get(task.outcome, task.outcome)
    field = task.cohort.codebook[task.outcome]
    arms = ", ".join(str(arm) for arm in policies.table.columns)
    patients = f"patients like the {count_of(len(task.y), 'patient')} of this cohort"
    lost = "represented by weights" if task.weight is not None else "left out"
    happened = {
        "dropout": f"outcomes count, whether or not treatment was completed; those not observed are {lost}",
        "switching": "patients count under the arm that they received first",
    }
    rows = [
        ("population", plan.population if plan else patients, plan is not None),
        ("treatments", f"the recommended arm, against each of: {arms}; and against the received arm", False),
        ("outcome", f"{title}{_definition(field)}", False),
        ("horizon", plan.horizon if plan else NOT_STATED, plan is not None),
    ]
    rows += [
        (event, f"{USED}: {happened[event]}", plan is not None and getattr(plan, event) == USED)
        for event in EVENTS
    ]
    measure = plan.summary_measure if plan else "difference of rates"
    rows.append(("summary measure", f"{measure} of {task.good_name}", plan is not None))
    table = pd.DataFrame(rows, columns=["attribute", "statement", "planned"])
    return PartResult(tables={"estimand": table}, cautions=_cautions(plan))


def _definition(field: Field) -> str:
    """Return how the outcome is derived, if the codebook says so."""
    if field.target is not None:
        return f" ({field.score} {field.target})"
    return f" (from {', '.join(sources_of(field))})" if field.definition is not None else ""


def _cautions(plan: ValidationPlan | None) -> list[Caution]:
    if plan is None:
        return []
    others = {event: getattr(plan, event) for event in EVENTS if getattr(plan, event) != USED}
    return [
        Caution(
            Severity.MAY_OVERTURN,
            f"The plan asks for the strategy {strategy!r} for {event} ({STRATEGIES[strategy]}); the figures "
            f"are for {USED!r} ({STRATEGIES[USED]}). They do not answer the planned question.",
        )
        for event, strategy in others.items()
    ]
