"""Part: internal-external cross-validation, with a model fitted to all sites but one."""

from typing import Any

from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult
from treatsel.validation.parts._sites import MIN_EVENTS, pooled_part
from treatsel.validation.studies import internal_external_cv

SECTION = "internal-external"


def internal_external(task: ValidationTask, policies: Policies, model: Any, n_jobs: int | None) -> PartResult:
    """Return the estimates of each site from a model fitted to the other sites, and their means."""
    if task.sites is None or task.n_sites < 2:
        what = "Internal-external cross-validation"
        return PartResult(not_estimable=[(what, "fewer than two sites are recorded")])
    found = internal_external_cv(
        model,
        task.cohort.X[task.seen],
        task.observed,
        task.sites.to_numpy(),
        propensity=None if policies.problem else policies.propensity,
        comparator=policies.comparator,
        event_is_good=task.good,
        min_events=MIN_EVENTS,
        level=task.level,
        n_jobs=n_jobs,
    )
    return pooled_part(SECTION, found.figures, task)
