"""External validation: performance of a model in patients it was not developed on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
from threadpoolctl import threadpool_limits

from treatsel._checks import check_level
from treatsel.cohort import Cohort
from treatsel.eligibility import Rules
from treatsel.errors import InputError
from treatsel.preference import Preferences
from treatsel.validation import parts as part_of
from treatsel.validation._assembly import (
    SECTIONS as SECTIONS,
)
from treatsel.validation._assembly import (
    about_of,
    attempt,
    cautions_of,
    parts_of,
    warn_once,
)
from treatsel.validation._eligibility import Eligible
from treatsel.validation._origin import (
    APPARENT,
    CROSS_VALIDATED,
    WITHHELD,
    Origin,
    cautions_of_folds,
    origin_of,
    stated_by,
)
from treatsel.validation._plan import ValidationPlan, as_planned, plan_of
from treatsel.validation._policies import Policies, median_of, policies_of, without_gain
from treatsel.validation._rule import RuleInUse
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts import (
    COLUMNS,
    PartResult,
    development_of,
    effective_n,
    imputed_of,
    joined,
)
from treatsel.validation.report import (
    PLAUSIBLE_GAIN,
    CombinedReports,
    ValidationReport,
    answers_of,
    check_plausible_gain,
    checklist,
    combine,
    compare,
)
from treatsel.validation.studies import (
    BalancingWeights,
    BootstrapOptimism,
    BootstrapRefits,
    CaseMix,
    Instability,
    InternalExternalCV,
    ModelUpdate,
    SubgroupPerformance,
    TransportedPerformance,
    balancing_weights,
    bootstrap_optimism,
    case_mix,
    instability,
    internal_external_cv,
    subgroup_performance,
    transport_performance,
    update_closed_test,
)

__all__ = [
    "BalancingWeights",
    "BootstrapOptimism",
    "BootstrapRefits",
    "CaseMix",
    "CombinedReports",
    "Instability",
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
    "instability",
    "internal_external_cv",
    "subgroup_performance",
    "transport_performance",
    "update_closed_test",
    "validate",
]


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
    instability: int | Instability | None = None,
    eligibility: Rules | str | Path | None = None,
    recommendations: Any = None,
    rule: str | None = None,
    p_switch: float | None = None,
    margin: float | None = None,
    preferences: Mapping[str, float] | Preferences | str | Path | None = None,
    plan: ValidationPlan | Mapping[str, Any] | str | Path | None = None,
    n_jobs: int | None = None,
    plausible_gain: float = PLAUSIBLE_GAIN,
    level: float = 0.95,
    random_state: int | None = 0,
) -> ValidationReport:
    """Validate a treatment-selection model externally, in a cohort that was not used to develop it.

    Patients of the development cohort are not external. Those known to be shared are left out; if more than
    5 % are shared, or the selector is not fitted, the estimates are cross-validated: every patient is
    predicted by a model fitted without the patient's fold. A model from a file cannot be fitted again; its
    estimates are then apparent performance, and gains and verdicts are withheld. See `ValidationReport.kind`.

    The headline is the gain over giving all patients the best single arm, whichever arm that is: an interval
    that allows for not knowing it (`treatsel.metrics.best_arm_gain`). The recommendations are those of the
    rule in use, if `recommendations`, `rule`, `margin` or `preferences` state it; otherwise those that
    `recommend` gives by default: for each patient, the arm with the most favorable predicted probability
    (rule "expected"), and ties to the model's default arm. The report also evaluates the predictions for the
    received arm: discrimination, calibration and overall performance. Optional sections follow. If outcomes
    were not observed, all estimates weight the other patients to represent these patients, by the inverse
    probability of observation given arm, covariates and process columns (and other outcomes that are known
    for everyone). The table "complete cases" has the main estimates without weights, and the table "loss
    test" a test of whether observation depends on process columns. Estimates from matched pairs, the update
    of the model, estimates re-weighted to `development` and `internal_external` rest on the patients whose
    outcome was observed.

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
    instability : int or Instability, optional
        Number of bootstrap refits of the model to the development cohort (`development`, or else `cohort`),
        or a study already made. Adds the spread of predictions and recommendations over refits; see
        `instability`.
    n_jobs : int, optional
        Number of sites, or refits, to process in parallel.
    eligibility : Rules or path, optional
        Rules that exclude arms. Arms are compared, and the model is validated, in patients who may receive
        every arm, because a single arm for all is possible only there; the others are counted. The value of
        the rule in use, each patient with the arms that the rules permit, is also estimated in all patients.
    recommendations : Recommendations, Series or DataFrame, optional
        What a service recommended, by patient id: arms (of a DataFrame: its column "arm"), or a by-arm table
        of shares. It is valued as it is; no rule is computed. A patient without an arm (None, NaN or shares
        of 0) keeps the arm that is given now; such patients are counted.
    rule, p_switch, margin : optional
        As in `recommend`: the rule in use is then that call for these patients, by the model's first outcome
        unless `preferences` are given. A patient out of scope keeps the arm that is given now. None of them:
        the arm with the most favorable probability of the validated outcome. `margin` decides on statuses,
        not on the arm.
    preferences : mapping of outcome to weight, Preferences, or path, optional
        As in `TreatmentSelector.recommend`, or a file that `read_preferences` reads. The rule is then also
        valued by the utility, the weighted sum of the outcomes.
    plausible_gain : float
        Largest plausible gain, a proportion. If the interval of the gain includes 0 and these patients are
        too few to detect this gain with a power of 80 %, the report says that the cohort cannot tell.
    plan : ValidationPlan, mapping or path, optional
        Plan that was fixed before the outcomes were looked at: estimand, primary figure, comparator. Outcome,
        comparator, margin and plausible gain are those of the plan; all other figures than the primary one
        are exploratory. None: the report says that there was no plan.
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
        observed, or the imputed tables hold other patients than the cohort; if recommendations lack patients
        or name unknown arms; or if the model cannot follow the rule (rule "switch" needs posterior draws).

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
    if (planned := plan_of(plan)) is not None:
        outcome = as_planned("outcome", outcome, planned.outcome)
        comparator = as_planned("comparator", comparator, planned.comparator)
        margin = as_planned("margin", margin, planned.margin)
        plausible_gain = planned.plausible_gain or plausible_gain
    study: dict[str, Any] = {"outcome": outcome, "assignment": assignment, "n_jobs": n_jobs}
    study |= {"random_state": 0 if random_state is None else random_state}
    refitted = part_of.instability(model, cohort, development, instability, **study)
    eligible = Eligible.of(cohort, eligibility)
    stated = {"rule": rule, "p_switch": p_switch, "margin": margin}
    by = RuleInUse.of(recommendations, preferences, eligible.digest, **stated)
    origin_in = partial(origin_of, model, outcome=outcome, random_state=random_state, n_jobs=n_jobs, rule=by)
    origin = origin_in(eligible.cohort)
    if imputations is not None:
        _check_imputations(origin, by)
    outcome, event_is_good = stated_by(model, origin, outcome, event_is_good)
    options = {"outcome": outcome, "comparator": comparator, "event_is_good": event_is_good}
    options |= {"level": check_level(level), "random_state": random_state}
    tasks = [
        by.in_use(ValidationTask.of(each, origin.cohort, fold_comparator=best, **options), each, of_folds=own)
        for each, best, own in origin.predictions
    ]
    reference = None if development is None else development_of(development, tasks[0])
    # One BLAS thread: the matrices are small, and threads only compete with each other on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"), warn_once():
        number, known = median_of([policies_of(task, assignment) for task in tasks])
        model, task, policies = origin.predictions[number][0], tasks[number], known
        if origin.kind == APPARENT and known.problem is None:  # gains flatter it most
            policies = without_gain(task, known, WITHHELD)
        found = parts_of(task, policies, sections, kind=origin.kind)
        found["estimand"] = part_of.estimand(task, policies, planned)
        everyone = eligible.whole(origin, by, options, assignment, origin_in)
        more: dict[str, Callable[..., PartResult]] = {
            "rule in use": partial(part_of.rule_in_use, model=model, rule=by, whole=everyone)
        } | refitted
        if reference is not None:
            more["development"] = partial(part_of.development, model=model, development=reference)
        if imputations is not None:
            imputed = imputed_of(imputations, model, task)
            more["imputations"] = partial(part_of.imputations, imputed=imputed, assignment=assignment)
        if internal_external is not None:
            found["internal-external cross-validation"] = attempt(
                "internal-external cross-validation",
                partial(part_of.internal_external, model=internal_external, n_jobs=n_jobs),
                task,
                known,
            )
        found |= {name: attempt(name, part, task, policies) for name, part in more.items()}
    about = about_of(task, origin) | {"plausible_gain": check_plausible_gain(plausible_gain)}
    about["plan"] = None if planned is None else planned.to_dict()
    cautions = [*eligible.cautions, *cautions_of(task, about), *origin.cautions]
    cautions += cautions_of_folds(origin, found["discrimination"].figures)
    whole = joined({"cohort": PartResult(cautions=cautions)} | found)
    return _report(task, policies, whole, model_id=getattr(model, "model_id_", None), about=about)


def _report(
    task: ValidationTask,
    policies: Policies,
    whole: PartResult,
    *,
    model_id: str | None,
    about: dict[str, Any],
) -> ValidationReport:
    """Return the report of all parts, with its checklists and without what would tell of single patients."""
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
        model_id=model_id,
        about=about,
    )
    report = cast(ValidationReport, part_of.without_few_discordant(report))
    items = checklist(answers_of(report), sites=task.n_sites > 1)
    return replace(report, tables=report.tables | {"checklist": items})


def _check_imputations(origin: Origin, rule: RuleInUse) -> None:
    if origin.kind == CROSS_VALIDATED:
        raise InputError("imputations cannot be combined with cross-validation. Give by-arm tables instead.")
    if rule.is_computed:
        raise InputError("imputations cannot be combined with a rule. Give recommendations= instead.")
