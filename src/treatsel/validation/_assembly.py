"""The parts of a report, each with its result or the reason why there is none; facts on the whole cohort."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from treatsel._checks import check_choice, count_of
from treatsel._disclosure import SMALLEST_GROUP, rounded_down
from treatsel.errors import InputError, TreatselWarning
from treatsel.predictions import fingerprint
from treatsel.validation import parts as part_of
from treatsel.validation._origin import APPARENT, CROSS_VALIDATED, Origin
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts import Caution, PartResult, Severity

LOG = logging.getLogger("treatsel.validation")


SECTIONS: dict[str, Callable[[ValidationTask, Policies], PartResult]] = {  # optional, in their order
    "case mix": part_of.case_mix,
    "calibration errors": part_of.calibration_errors,
    "utility": part_of.utility,
    "effect modification": part_of.effect_modification,
    "benefit": part_of.benefit,
    "sites": part_of.sites,
    "subgroups": part_of.subgroups,
    "missing outcomes": part_of.missing_outcomes,
    "confounding": part_of.confounding,
    "updating": part_of.updating,
    "sample size": part_of.sample_size,
}


def parts_of(
    task: ValidationTask, policies: Policies, chosen: Sequence[str] | None, *, kind: str
) -> dict[str, PartResult]:
    """Return the result of every part; if the data do not allow a part, its result holds the reason."""
    for name in () if chosen is None else chosen:
        check_choice("sections", name, SECTIONS)
    found = {
        "participants": part_of.participants(task),
        "policies": part_of.policies(task, policies),
        "best arm": part_of.best_arm(task, policies),
        "discrimination": part_of.discrimination(task),
        "calibration": part_of.calibration(task),
        "overall": part_of.overall(task),
        "complete cases": part_of.complete_cases(task, policies),
    }
    for name, part in SECTIONS.items():
        if chosen is not None and name not in chosen:
            continue
        LOG.info("Validating: %s", name)
        if policies.problem is not None and name in (NEED_EVENTS if task.one_class else NEED_POLICIES):
            found[name] = PartResult(not_estimable=[(name.capitalize(), policies.problem)])
        elif name == "updating" and kind in (APPARENT, CROSS_VALIDATED):
            found[name] = PartResult(not_estimable=[("Update of the model", OWN_PATIENTS)])
        else:
            found[name] = attempt(name, part, task, policies)
    return found


OWN_PATIENTS = "a model is updated to patients other than those it was developed on"
NEED_POLICIES = ("utility", "effect modification", "benefit", "missing outcomes", "confounding")
NEED_EVENTS = tuple(name for name in SECTIONS if name != "case mix")  # patients with and without the outcome


@contextmanager
def warn_once() -> Iterator[None]:
    """Suppress repeated warnings about predictions of 0 or 1; the report counts them once."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"[\d,]+ of [\d,]+ predicted probabilit(y is|ies is|ies are) 0 or 1", TreatselWarning
        )
        yield


def attempt(
    name: str, part: Callable[..., PartResult], task: ValidationTask, policies: Policies
) -> PartResult:
    try:
        return part(task, policies)
    except (InputError, np.linalg.LinAlgError) as error:  # the report lists the reason
        return PartResult(not_estimable=[(name.capitalize(), str(error))])


def about_of(task: ValidationTask, origin: Origin) -> dict[str, Any]:
    return {
        "n": len(task.y),
        "n_observed": int(task.seen.sum()),
        "n_incomplete": rounded_down(int(task.cohort.X.isna().any(axis=1).sum()), len(task.y)),
        "n_sites": task.n_sites,
        "arms": [str(arm) for arm in task.by_arm.columns],
        "cohort": fingerprint(task.cohort.X),
        "kind": origin.kind,
        "titles": task.cohort.codebook.titles,
        "share_in_development": origin.share,
        "policy": dict(task.policy),
    }


def cautions_of(task: ValidationTask, about: dict[str, Any]) -> list[Caution]:
    """Return the cautions on the whole cohort: one outcome only, development patients, missing outcomes."""
    found = []
    if task.left_out:
        text = (
            f"Arms in which fewer than {SMALLEST_GROUP} patients had the outcome observed, or all of fewer "
            f"than {2 * SMALLEST_GROUP} had the same outcome, are left out with their patients, because "
            f"estimates would tell of single patients: {list(task.left_out)}."
        )
        found.append(Caution(Severity.PARTIAL, text))
    if task.one_class is not None:
        text = (
            f"T{task.one_class[1:]} ({count_of(about['n_observed'], 'patient')}). Measures that compare "
            "patients with and without the outcome cannot be estimated. Check how the outcome was coded."
        )
        found.append(Caution(Severity.NO_VALIDATION, text))
    if n := int(task.y.isna().sum()):
        found.append(Caution(Severity.LOST, part_of.lost_in_words(task, n)))
    return found
