"""External validation: performance of a model in patients it was not developed on."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from treatsel._checks import check_choice, check_level, count_of
from treatsel._disclosure import SMALLEST_GROUP, rounded_down
from treatsel.cohort import Cohort
from treatsel.eligibility import Rules
from treatsel.errors import InputError, TreatselWarning
from treatsel.predictions import fingerprint
from treatsel.recommendation import DEFAULT_MARGIN, DEFAULT_RULE
from treatsel.validation import parts as part_of
from treatsel.validation._eligibility import eligible_for_all
from treatsel.validation._origin import (
    APPARENT,
    CROSS_VALIDATED,
    WITHHELD,
    Origin,
    cautions_of_folds,
    origin_of,
)
from treatsel.validation._plan import ValidationPlan, as_planned, plan_of
from treatsel.validation._policies import Policies, median_of, policies_of, without_gain
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts import (
    COLUMNS,
    Caution,
    PartResult,
    Severity,
    development_of,
    effective_n,
    imputed_of,
    joined,
)
from treatsel.validation.report import (
    CombinedReports,
    ValidationReport,
    answers_of,
    checklist,
    combine,
    compare,
)
from treatsel.validation.studies import (
    BalancingWeights,
    BootstrapOptimism,
    CaseMix,
    InternalExternalCV,
    ModelUpdate,
    SubgroupPerformance,
    TransportedPerformance,
    balancing_weights,
    bootstrap_optimism,
    case_mix,
    internal_external_cv,
    subgroup_performance,
    transport_performance,
    update_closed_test,
)

__all__ = [
    "BalancingWeights",
    "BootstrapOptimism",
    "CaseMix",
    "CombinedReports",
    "InternalExternalCV",
    "ModelUpdate",
    "SubgroupPerformance",
    "TransportedPerformance",
    "ValidationPlan",
    "ValidationReport",
    "balancing_weights",
    "bootstrap_optimism",
    "case_mix",
    "combine",
    "compare",
    "internal_external_cv",
    "subgroup_performance",
    "transport_performance",
    "update_closed_test",
    "validate",
]

LOG = logging.getLogger(__name__)


def validate(
    model: Any,
    cohort: Cohort,
    *,
    outcome: str | None = None,
    comparator: Any = None,
    event_is_good: bool | None = None,
    assignment: str | Mapping[Any, float] | pd.DataFrame = "estimated",
    sections: Sequence[str] | None = None,
    development: Cohort | pd.DataFrame | None = None,
    imputations: Sequence[Cohort | pd.DataFrame] | None = None,
    internal_external: Any = None,
    eligibility: Rules | str | Path | None = None,
    plan: ValidationPlan | Mapping[str, Any] | str | Path | None = None,
    n_jobs: int | None = None,
    level: float = 0.95,
    random_state: int | None = 0,
) -> ValidationReport:
    """Validate a treatment-selection model externally, in a cohort that was not used to develop it.

    Patients of the development cohort are not external. Those known to be shared are left out; if more than
    5 % are shared, or the selector is not fitted, the estimates are cross-validated: every patient is
    predicted by a model fitted without the patient's fold. A model from a file cannot be fitted again; its
    estimates are then apparent performance, and gains and verdicts are withheld. See `ValidationReport.kind`.

    The report compares the recommendations with giving the best single arm to all patients: this gain is the
    headline. The recommendations are those that `recommend` gives by default: for each patient, the arm with
    the most favorable predicted probability (rule "expected"), and ties to the model's default arm. It also
    evaluates the predictions for the received arm: discrimination, calibration and overall performance.
    Optional sections follow. Patients whose outcome was not observed are counted, and left out of all
    estimates other than the bounds for missing outcomes.

    Parameters
    ----------
    model : TreatmentSelector, fitted model of `treatsel.models`, or DataFrame
        A DataFrame is a by-arm table of predictions: one row per patient of the cohort (index: patient ids),
        one column per arm, with the predicted probability of the outcome.
    cohort : Cohort
        Validation cohort with the received arm and the outcome.
    outcome : str, optional
        Outcome to validate. None: the first outcome of a selector; for other models and for tables, the first
        outcome of the cohort.
    comparator : label, optional
        The best single arm, named in advance; the recommendations are compared with giving it to all
        patients. None: the `default_arm_` of a selector, if its first outcome is validated; otherwise the arm
        with the best estimated rate of the good outcome in this cohort (the report then has a caution).
    event_is_good : bool, optional
        Whether 1 is the good outcome. None: as stated by the selector, by the cohort's codebook, or by the
        definition of an outcome of `treatsel.outcome`; an outcome without a direction is refused.
    assignment : "estimated", "randomised", mapping of arm to probability, or by-arm DataFrame
        Source of each patient's probabilities of receiving the arms, which the value of the recommendations
        requires. "estimated": cross-fitted multinomial logistic regression on the covariates. "randomised":
        the observed proportions of the arms, the same for all patients. Or the known probabilities: a mapping
        if they are the same for all patients, a by-arm DataFrame otherwise.
    sections : sequence of str, optional
        Optional sections to include: "case mix", "calibration errors" (distances between predictions and
        calibration curve), "utility", "effect modification", "benefit", "sites", "subgroups", "missing
        outcomes", "confounding", "updating" and "sample size". None: all that the data allow. The value of
        the recommendations, discrimination, calibration and overall performance are always included.
    development : Cohort or DataFrame, optional
        Development cohort, or a table of its patients that matches the codebook of `cohort`. Adds a
        comparison of case mix (`case_mix`), and estimates re-weighted to the development patients
        (`transport_performance`).
    imputations : sequence of Cohort or of by-arm DataFrame, optional
        Two or more versions of the cohort with missing covariates imputed, or the by-arm table of predictions
        for each version (required if `model` is a by-arm table). Adds the closed-form estimates and the gain,
        pooled by Rubin's rules. All other sections describe `cohort` as given.
    internal_external : model, optional
        An unfitted model of `treatsel.models`. Adds internal-external cross-validation within this cohort:
        for each site in turn, the model is fitted to all other sites and evaluated at that site. See
        `internal_external_cv`.
    n_jobs : int, optional
        Number of sites to process in parallel in internal-external cross-validation.
    eligibility : Rules or path, optional
        Rules that exclude arms. Arms are compared, and the model is validated, in patients who may receive
        every arm; the others are counted and left out.
    plan : ValidationPlan, mapping or path, optional
        Plan that was fixed before the outcomes were looked at: estimand, primary figure, comparator. Outcome
        and comparator are those of the plan; all other figures than the primary one are exploratory. None:
        the report says that there was no plan.
    level : float
        Confidence level of the intervals.
    random_state : int or None
        Seed of the folds of the assignment model and of the resamples.

    Returns
    -------
    ValidationReport
        Estimates, tables and cautions; written by `to_html`, `to_markdown` and `to_json`.

    Raises
    ------
    InputError
        If the by-arm table lacks patients or arms, a received arm is unknown to the model, no outcome was
        observed, or the imputed tables hold other patients than the cohort.

    References
    ----------
    Debray et al. (2015), J Clin Epidemiol 68(3), 279-289. doi:10.1016/j.jclinepi.2014.06.018
    Collins et al. (2024), BMJ 385, e078378 (TRIPOD+AI). doi:10.1136/bmj-2023-078378

    Examples
    --------
    >>> from treatsel.datasets import make_cohort
    >>> simulated = make_cohort(600, random_state=3)
    >>> report = validate(simulated.truth["dropout"], simulated.cohort, outcome="dropout")
    >>> int(report.figure("calibration slope")["n"])
    600
    """
    planned = plan_of(plan)
    if planned is not None:
        outcome = as_planned("outcome", outcome, planned.outcome)
        comparator = as_planned("comparator", comparator, planned.comparator)
    cohort, excluded = eligible_for_all(cohort, eligibility)
    origin = origin_of(model, cohort, outcome, random_state, n_jobs)
    if origin.kind == CROSS_VALIDATED and imputations is not None:
        raise InputError("imputations cannot be combined with cross-validation. Give by-arm tables instead.")
    outcome, event_is_good = _stated(model, origin, outcome, event_is_good)
    partitions = [(origin.model, origin.fold_comparator)]
    partitions += [(each.by_arm, each.default_arm) for each in origin.partitions]
    options = {"outcome": outcome, "comparator": comparator, "event_is_good": event_is_good}
    options |= {"level": check_level(level), "random_state": random_state}
    tasks = [
        ValidationTask.of(each, origin.cohort, fold_comparator=best, **options) for each, best in partitions
    ]
    reference = None if development is None else development_of(development, tasks[0])
    # One BLAS thread: the matrices are small, and threads only compete with each other on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"), _warn_once():
        number, known = median_of([policies_of(task, assignment) for task in tasks])
        model, task, policies = partitions[number][0], tasks[number], known
        if origin.kind == APPARENT and known.problem is None:  # gains flatter it most
            policies = without_gain(task, known, WITHHELD)
        found = _parts(task, policies, sections, kind=origin.kind)
        found["estimand"] = part_of.estimand(task, policies, planned)
        more: dict[str, Callable[..., PartResult]] = {}
        if reference is not None:
            more["development"] = partial(part_of.development, model=model, development=reference)
        if imputations is not None:
            imputed = imputed_of(imputations, model, task)
            more["imputations"] = partial(part_of.imputations, imputed=imputed, assignment=assignment)
        if internal_external is not None:
            found["internal-external cross-validation"] = _attempt(
                "internal-external cross-validation",
                partial(part_of.internal_external, model=internal_external, n_jobs=n_jobs),
                task,
                known,
            )
        found |= {name: _attempt(name, part, task, policies) for name, part in more.items()}
    about = _about(task, origin) | {"plan": None if planned is None else planned.to_dict()}
    cautions = [*excluded, *_cautions(task, about), *origin.cautions]
    cautions += cautions_of_folds(origin, found["discrimination"].figures)
    whole = joined({"cohort": PartResult(cautions=cautions)} | found)
    report = ValidationReport(
        figures=pd.DataFrame(whole.figures, columns=COLUMNS),
        gain=policies.gain,
        tables=whole.tables,
        outcome=task.outcome,
        event_is_good=task.good,
        level=task.level,
        assignment=policies.assignment,
        effective_n=effective_n(task, policies),
        cautions=tuple(caution.text for caution in whole.cautions),
        not_estimable=tuple(whole.not_estimable),
        model_id=getattr(model, "model_id_", None),
        about=about,
    )
    report = cast(ValidationReport, part_of.without_few_discordant(report))
    items = checklist(answers_of(report), sites=task.n_sites > 1)
    return replace(report, tables=report.tables | {"checklist": items})


def _stated(
    model: Any, origin: Origin, outcome: str | None, event_is_good: bool | None
) -> tuple[str | None, bool | None]:
    """Return the outcome and its direction as a fitted selector states them, unless they are given."""
    if not hasattr(model, "outcomes_") or not model.__sklearn_is_fitted__():
        return outcome, event_is_good
    name = outcome or model.outcomes_[0]
    if event_is_good is None and origin.kind == CROSS_VALIDATED:
        event_is_good = model.event_is_good_.get(name)
    return name, event_is_good


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


def _parts(
    task: ValidationTask, policies: Policies, chosen: Sequence[str] | None, *, kind: str
) -> dict[str, PartResult]:
    """Return the result of every part; if the data do not allow a part, its result holds the reason."""
    for name in () if chosen is None else chosen:
        check_choice("sections", name, SECTIONS)
    found = {
        "participants": part_of.participants(task),
        "policies": part_of.policies(task, policies),
        "discrimination": part_of.discrimination(task),
        "calibration": part_of.calibration(task),
        "overall": part_of.overall(task),
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
            found[name] = _attempt(name, part, task, policies)
    return found


OWN_PATIENTS = "a model is updated to patients other than those it was developed on"
NEED_POLICIES = ("utility", "effect modification", "benefit", "missing outcomes", "confounding")
NEED_EVENTS = tuple(name for name in SECTIONS if name != "case mix")  # patients with and without the outcome


@contextmanager
def _warn_once() -> Iterator[None]:
    """Suppress repeated warnings about predictions of 0 or 1; the report counts them once."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"[\d,]+ of [\d,]+ predicted probabilit(y is|ies is|ies are) 0 or 1", TreatselWarning
        )
        yield


def _attempt(
    name: str, part: Callable[..., PartResult], task: ValidationTask, policies: Policies
) -> PartResult:
    try:
        return part(task, policies)
    except (InputError, np.linalg.LinAlgError) as error:  # the report lists the reason
        return PartResult(not_estimable=[(name.capitalize(), str(error))])


def _about(task: ValidationTask, origin: Origin) -> dict[str, Any]:
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
        "policy": _policy(task),
    }


def _policy(task: ValidationTask) -> dict[str, Any]:
    """Return the rule that was evaluated: the default of `recommend`."""
    ties = "default arm of each fold" if isinstance(task.tie_arm, pd.Series) else task.tie_arm
    return {
        "rule": DEFAULT_RULE,
        "margin": DEFAULT_MARGIN,
        "preferences": {task.outcome: 1.0},
        "ties_to": None if ties is None else str(ties),
        "n_out_of_scope": task.n_out_of_scope,
    }


def _cautions(task: ValidationTask, about: dict[str, Any]) -> list[Caution]:
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
        text = f"The outcome was not observed in {n:,} of {len(task.y):,} patients ({n / len(task.y):.0%})"
        if task.weight is None:
            text += (
                ", who are left out. This is unbiased only if, given the covariates, they resemble the "
                "patients whose outcome was observed."
            )
        else:
            given = ", ".join(repr(name) for name in task.process)
            text += (
                ". Base rate, AUC, calibration (in the large, slope, observed / expected) and overall "
                "performance weight the other patients to represent them, which is unbiased only if "
                f"observation depends on arm, covariates and {given} alone. All other figures rest on the "
                "other patients."
            )
        found.append(Caution(Severity.LOST, text))
    return found
