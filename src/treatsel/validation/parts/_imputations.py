"""Part: estimates pooled over tables with imputed covariates, by Rubin's rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_known_arms, count_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._measures import BY_LABEL, MEASURES
from treatsel._reporting.format import points, with_interval
from treatsel._stats.alignment import aligned, ids_of
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.metrics import (
    FUNCTIONS,
    Estimate,
    Gain,
    RubinPooled,
    gain_over_best_arm,
    pool_rubin,
    roc_auc,
    within_arm_auc,
)
from treatsel.metrics.pooling import on_scale
from treatsel.validation._policies import Policies, policies_of
from treatsel.validation._predicted import predicted
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity, row

SECTION = "imputations"
GAIN = MEASURES["gain"].label
POOLED = (
    "calibration_in_the_large",
    "calibration_slope",
    "observed_expected",
    "brier_score",
    "scaled_brier_score",
    "log_loss",
)
NOT_POOLED = (
    "only closed-form estimates and the gain are pooled; curves, calibration errors, net benefit, benefit, "
    "sites, subgroups, bounds and estimates by arm describe the cohort as given"
)


def imputed_of(given: Any, model: Any, task: ValidationTask) -> list[ValidationTask]:
    """Return one task for each imputed table, with the patients, arms and outcomes of the cohort.

    Raises
    ------
    InputError
        If there are fewer than two tables, or one has other patients, arms or outcomes.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) < 2:
        several = isinstance(given, Sequence) and not isinstance(given, str)
        found = f"holds {count_of(len(given), 'table')}" if several else f"is a {type(given).__name__}"
        raise InputError(f"imputations {found}; give a list of two or more imputed tables.")
    return [_imputed(table, number, model, task) for number, table in enumerate(given, start=1)]


def _imputed(given: Any, number: int, model: Any, task: ValidationTask) -> ValidationTask:
    if isinstance(given, pd.DataFrame):
        by_arm, cohort = predicted(given, task.cohort, task.outcome), task.cohort
    elif not isinstance(given, Cohort):
        raise InputError(
            f"Imputed table {number} is a {type(given).__name__}; give a Cohort or a by-arm table."
        )
    elif isinstance(model, pd.DataFrame):
        raise InputError(
            "A table of predictions cannot be applied to imputed covariates. Give one by-arm table of "
            "predictions for each imputed table."
        )
    else:
        cohort = _same_patients(given, number, task)
        by_arm = predicted(model, cohort, task.outcome)
    check_known_arms(task.received, by_arm.columns, fewest_named=SMALLEST_GROUP)
    return replace(task, cohort=cohort, by_arm=by_arm)


def _same_patients(given: Cohort, number: int, task: ValidationTask) -> Cohort:
    """Return the imputed cohort in the order of the cohort."""
    ids, outcome = task.cohort.frame.index, task.outcome
    if task.left_out:  # patients of rare arms
        given = given.take(~given.received.astype(str).isin(task.left_out).to_numpy())
    here, there = ids_of(ids), ids_of(given.frame.index)
    lost, more = int((~here.isin(there)).sum()), int((~there.isin(here)).sum())
    if lost or more:
        raise InputError(
            f"Imputed table {number} lacks {count_of(lost, 'patient')} of the cohort and holds "
            f"{count_of(more, 'other patient')}. Their ids must be the same."
        )
    if outcome not in given.codebook.outcomes:
        raise InputError(f"Imputed table {number} has no outcome {outcome!r}.")
    same = given.with_frame(aligned(f"Imputed table {number}", given.frame, ids))
    arms = same.received.astype(str).to_numpy() != task.received.astype(str).to_numpy()
    outcomes = same.frame.loc[task.seen, outcome].to_numpy(dtype=float) != task.observed
    if arms.any() or outcomes.any():
        raise InputError(
            f"Imputed table {number} gives another arm for {count_of(int(arms.sum()), 'patient')} and "
            f"another outcome for {int(outcomes.sum())}. Only values missing in the cohort may differ."
        )
    return same


def imputations(
    task: ValidationTask,
    policies: Policies,
    imputed: Sequence[ValidationTask],
    assignment: str | Mapping[Any, float] | pd.DataFrame,
) -> PartResult:
    """Return the pooled estimates, each with the fraction of missing information."""
    compute = partial(_figures, comparator=policies.best_single_arm(task.seen))
    own = [compute(each, policies_of(each, assignment)) for each in imputed]
    as_given, rows, table = compute(task, policies), [], []
    n, n_events = len(task.observed), int(task.observed.sum())
    for measure, given in as_given.items():
        found = _pool(measure, [figures[measure] for figures in own], n, task.level)
        values = [figures[measure].value for figures in own]
        method = f"{found.method}; {found.n_imputations} imputed tables, missing information {found.fmi:.0%}"
        rows.append(
            row(
                SECTION,
                f"{measure}, pooled",
                found.value,
                found.lower,
                found.upper,
                n=n,
                n_events=n_events,
                method=method if found.lower == found.lower else found.method,
            )
        )
        ends = {"lowest": min(values), "highest": max(values), "as_given": given.value}
        table.append({"measure": measure, "n": n, "n_events": n_events} | found.to_dict() | ends)
    return PartResult(
        figures=rows,
        tables={SECTION: pd.DataFrame(table)},
        cautions=_cautions(policies.gain, rows[-1], len(imputed)),
        not_estimable=[("Other estimates over imputed tables", NOT_POOLED)],
    )


def _figures(task: ValidationTask, policies: Policies, *, comparator: Any) -> dict[str, Estimate | Gain]:
    """Return the estimates of one table, with standard errors on the scales of the list of measures."""
    y, p, options = task.observed, task.own, {"level": task.level, **task.weights()}
    gain = policies.gain
    if policies.problem is None:
        scores, rule = policies.scores, policies.recommended
        gain = gain_over_best_arm(scores, rule, comparator=comparator, **policies.options)
    return {
        MEASURES["within_arm_auc"].label: within_arm_auc(y, p, task.arms, interval="logit", **options),
        MEASURES["auc"].label: roc_auc(y, p, interval="logit", **options),
        **{MEASURES[key].label: FUNCTIONS[key](y, p, **options) for key in POOLED},
        GAIN: gain,
    }


def _pool(measure: str, found: list[Estimate | Gain], n: int, level: float) -> RubinPooled:
    scale, values = BY_LABEL[measure].scale, np.array([one.value for one in found])
    size = getattr(found[0], "n_clusters", None) or n  # complete-data df count clusters, if any
    return pool_rubin(
        on_scale(values, scale),
        [one.se for one in found],
        n=size if size > 1 else None,
        scale=scale,
        level=level,
    )


def _cautions(gain: Gain, line: dict[str, Any], count: int) -> list[Caution]:
    """Return a caution if the pooled gain leads to a different conclusion from that in the given cohort."""
    verdicts = [
        (low > 0) - (high < 0) for low, high in ((gain.lower, gain.upper), (line["lower"], line["upper"]))
    ]
    if line["lower"] != line["lower"] or verdicts[0] == verdicts[1]:
        return []
    text = (
        f"Pooled over {count} imputed tables the gain is {with_interval(line, points)}, which leads to "
        "a different conclusion from the gain in the cohort as given. See the section on multiple imputation."
    )
    return [Caution(Severity.MAY_OVERTURN, text)]
