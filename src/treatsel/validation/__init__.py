"""External validation: how far can a model's answer be trusted in patients it has never seen."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from treatsel._checks import check_choice, check_level
from treatsel.cohort import Cohort
from treatsel.errors import InputError, TreatselWarning
from treatsel.predictions import fingerprint
from treatsel.validation import parts as part_of
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts import (
    COLUMNS,
    Caution,
    PartResult,
    Policies,
    Severity,
    development_of,
    effective_n,
    imputed_of,
    joined,
    policies_of,
)
from treatsel.validation.report import ValidationReport, checklist, compare, known_of
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
    "InternalExternalCV",
    "ModelUpdate",
    "SubgroupPerformance",
    "TransportedPerformance",
    "ValidationReport",
    "balancing_weights",
    "bootstrap_optimism",
    "case_mix",
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
    best_arm: Any = None,
    event_is_good: bool | None = None,
    assignment: str | Mapping[Any, float] | pd.DataFrame = "estimated",
    parts: Sequence[str] | None = None,
    development: Cohort | pd.DataFrame | None = None,
    imputations: Sequence[Cohort | pd.DataFrame] | None = None,
    refit: Any = None,
    n_jobs: int | None = None,
    level: float = 0.95,
    random_state: int | None = 0,
) -> ValidationReport:
    """Validate a model, or a by-arm table of its predictions, on a cohort it has not seen.

    Patients whose outcome was not observed are counted and left out.

    Parameters
    ----------
    model : TreatmentSelector, fitted model of `treatsel.models`, or DataFrame
        The DataFrame is a by-arm table: probability of the outcome, one row per patient of the cohort.
    cohort : Cohort
        Validation cohort with the received arm and the outcome.
    outcome : str, optional
        Outcome to validate; None: the model's first outcome, or the cohort's first.
    best_arm : label, optional
        The best single arm, named beforehand. None: a selector's `default_arm_` (which is that of its
        first outcome), else the arm that does best in this very cohort (which is said).
    event_is_good : bool, optional
        Whether 1 is the good outcome. None: as the selector or the cohort's codebook states, or as the
        outcome's name says (remission, dropout).
    assignment : "estimated", "randomised", mapping of arm to probability, or by-arm DataFrame
        How the received arms came about. "estimated": cross-fitted multinomial logistic regression on the
        covariates. "randomised": the same probabilities for everybody, as observed. Or those known.
    parts : sequence of str, optional
        Which of "case mix", "errors" (distances from the calibration curve), "utility", "benefit", "sites",
        "subgroups", "missing outcomes", "confounding", "updating" and "sample size" to add to policies and
        accuracy, which are always there. None: all that the data allow.
    development : Cohort or DataFrame, optional
        Development cohort, or its table by the codebook of `cohort`: adds how far the patients differ
        (`case_mix`), and the figures re-weighted to patients like those of development
        (`transport_performance`).
    imputations : sequence of Cohort or of by-arm DataFrame, optional
        The same patients two times or more with missing covariates imputed (for a by-arm table: the
        predictions of each): adds the figures in closed form and the gain, pooled by Rubin's rules. All else
        remains that of `cohort`.
    refit : model, optional
        An unfitted model of `treatsel.models`: internal-external cross-validation, that is, the model fitted
        to all sites of this cohort but one, and judged at that one. See `internal_external_cv`.
    n_jobs : int, optional
        Sites refitted at once.
    level : float
        Confidence level.
    random_state : int or None
        Deals patients to folds for the assignment model, and draws resamples.

    Returns
    -------
    ValidationReport

    Raises
    ------
    InputError
        If the table lacks patients or arms, an arm is unknown to the model, no outcome was observed, or
        imputed tables are not of the same patients.

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
    setting = ValidationTask.of(
        model,
        cohort,
        outcome=outcome,
        best_arm=best_arm,
        event_is_good=event_is_good,
        level=check_level(level),
        random_state=random_state,
    )
    likened = None if development is None else development_of(development, setting)
    # one BLAS thread: small matrices gain nothing from more, and lose much on a busy machine
    with threadpool_limits(limits=1, user_api="blas"), _told_once():
        policies = policies_of(setting, assignment)
        found = _parts(setting, policies, parts)
        more: dict[str, Callable[..., PartResult]] = {}
        if likened is not None:
            more["development"] = partial(part_of.development, model=model, development=likened)
        if imputations is not None:
            imputed = imputed_of(imputations, model, setting)
            more["imputations"] = partial(part_of.imputations, imputed=imputed, assignment=assignment)
        if refit is not None:
            more["leaving sites out"] = partial(part_of.sites_left_out, model=refit, n_jobs=n_jobs)
        found |= {name: _attempt(name, part, setting, policies) for name, part in more.items()}
    about = _about(model, setting)
    whole = joined({"cohort": PartResult(cautions=_cautions(setting, about))} | found)
    report = ValidationReport(
        figures=pd.DataFrame(whole.figures, columns=COLUMNS),
        gain=policies.gain,
        tables=whole.tables,
        outcome=setting.outcome,
        event_is_good=setting.good,
        level=setting.level,
        assignment=policies.assignment,
        effective_n=effective_n(setting, policies),
        cautions=tuple(caution.text for caution in whole.cautions),
        not_estimable=tuple(whole.not_estimable),
        model_id=getattr(model, "model_id_", None),
        about=about,
    )
    items = checklist(known_of(report), sites=setting.n_sites > 1)
    return replace(report, tables=report.tables | {"checklist": items})


PARTS: dict[str, Callable[[ValidationTask, Policies], PartResult]] = {
    "case mix": part_of.case_mix,
    "errors": part_of.calibration_errors,
    "utility": part_of.utility,
    "benefit": part_of.benefit,
    "sites": part_of.sites,
    "subgroups": part_of.subgroups,
    "missing outcomes": part_of.missing_outcomes,
    "confounding": part_of.confounding,
    "updating": part_of.updating,
    "sample size": part_of.sample_size,
}


def _parts(
    setting: ValidationTask, policies: Policies, chosen: Sequence[str] | None
) -> dict[str, PartResult]:
    """Return every part; one that these data do not allow says why."""
    for name in () if chosen is None else chosen:
        check_choice("parts", name, PARTS)
    found = {"policy": part_of.policies(setting, policies), "accuracy": part_of.accuracy(setting)}
    for name, part in PARTS.items():
        if chosen is not None and name not in chosen:
            continue
        LOG.info("Validating: %s", name)
        if policies.problem is not None and name in (OF_OUTCOMES if setting.one_class else OF_POLICIES):
            found[name] = PartResult(not_estimable=[(name.capitalize(), policies.problem)])
        else:
            found[name] = _attempt(name, part, setting, policies)
    return found


OF_POLICIES = ("utility", "benefit", "missing outcomes", "confounding")  # nothing without policies
OF_OUTCOMES = tuple(name for name in PARTS if name != "case mix")  # nothing where everybody has one outcome


@contextmanager
def _told_once() -> Iterator[None]:
    """Let no metric warn of predictions of 0 or 1: one caution counts them (see `accuracy`)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ of \d+ predicted probabilities are 0 or 1", TreatselWarning)
        yield


def _attempt(
    name: str, part: Callable[..., PartResult], setting: ValidationTask, policies: Policies
) -> PartResult:
    try:
        return part(setting, policies)
    except (InputError, np.linalg.LinAlgError) as error:  # told in the report, with its reason
        return PartResult(not_estimable=[(name.capitalize(), str(error))])


def _about(model: Any, setting: ValidationTask) -> dict[str, Any]:
    cohort = fingerprint(setting.cohort.X)
    return {
        "n": len(setting.y),
        "n_observed": int(setting.seen.sum()),
        "n_incomplete": int(setting.cohort.X.isna().any(axis=1).sum()),
        "n_sites": setting.n_sites,
        "arms": [str(arm) for arm in setting.by_arm.columns],
        "cohort": cohort,
        "development_cohort": getattr(model, "fingerprint_", None) == cohort,
    }


def _cautions(setting: ValidationTask, about: dict[str, Any]) -> list[Caution]:
    """Return what concerns the whole cohort: development patients, missing outcomes."""
    found = []
    if setting.one_class is not None:
        text = (
            f"T{setting.one_class[1:]}, in {about['n_observed']} patients: nothing that needs patients with "
            "and without it can be estimated. Check how the outcome was coded."
        )
        found.append(Caution(Severity.NO_VALIDATION, text))
    if about["development_cohort"]:
        text = (
            "This is the very cohort that the model was developed on. The figures are apparent performance, "
            "which flatters; they are no external validation."
        )
        found.append(Caution(Severity.NO_VALIDATION, text))
    if n := int(setting.y.isna().sum()):
        text = (
            f"The outcome was not observed in {n} of {len(setting.y)} patients ({n / len(setting.y):.0%}); "
            "they are left out, which is right only if they are alike given the covariates."
        )
        found.append(Caution(Severity.LOST, text))
    return found
