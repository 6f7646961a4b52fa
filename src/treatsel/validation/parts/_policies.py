"""Part: rate of the good outcome under each policy, the gains, and the recommended arms."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._stats.by_arm_tables import share_received
from treatsel._stats.estimate import not_estimable
from treatsel.metrics import (
    FEWEST_CLUSTERS,
    MIN_CLUSTERS,
    Estimate,
    Gain,
    NaiveConcordanceContrast,
    arm_means,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_random,
    gain_over_received,
    naive_concordance_contrast,
    policy_value,
    policy_value_aipw,
    received_propensity,
)
from treatsel.metrics.policy import BEFOREHAND, ON_THIS_DATA
from treatsel.validation._policies import Policies, gain_of
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import MIN_EVENTS, Caution, PartResult, Severity, row, row_of

NAN = float("nan")


def policies(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the rate of the good outcome under each policy, the gains, and the recommended arms."""
    if policies.problem is not None:
        rows = [row_of("gain", "gain over the best single arm", policies.gain)]
        return PartResult(figures=rows, cautions=_cautions(task, policies))
    received, options = task.arms, policies.options
    rows = [
        row(
            "policy",
            f"all patients receive {arm}",
            *mean[["value", "lower", "upper"]],
            n=mean["n"],
            method=mean["method"],
        )
        for arm, mean in arm_means(policies.scores, received=received, **options).iterrows()
    ]
    naive = _naive(task, policies)
    rows += [
        row_of("policy", "recommended arm", policies.over_partitions(_value)),
        row_of(
            "policy", "recommended arm, weighted estimate", policies.over_partitions(partial(_weighted, task))
        ),
        *_gains(task, policies),
        row_of("naive", "concordant minus discordant (naive)", naive.difference),
        row_of("naive", "expected under no gain", naive.without_gain),
    ]
    return PartResult(figures=rows, cautions=_cautions(task, policies))


def _value(policies: Policies) -> Estimate:
    return policy_value_aipw(policies.scores, policies.recommended, **policies.options)


def _weighted(task: ValidationTask, policies: Policies) -> Estimate:
    propensity = received_propensity(task.arms, policies.propensity)
    return policy_value(
        task.good_y, task.arms, policies.recommended, propensity=propensity, **policies.options
    )


def _naive(task: ValidationTask, policies: Policies) -> NaiveConcordanceContrast:
    prognosis = policies.table.mean(axis=1)
    return naive_concordance_contrast(
        task.good_y, task.arms, policies.recommended, prognosis=prognosis, **policies.options
    )


def _gains(task: ValidationTask, policies: Policies) -> list[dict[str, Any]]:
    """Return the gains over the best single arm, each arm, the received arms and random assignment."""
    over = "gain over the best single arm"
    each = {arm: policies.over_partitions(partial(_over_arm, arm)) for arm in policies.scores.columns}
    return [
        row_of("gain", over, policies.gain),
        *(row_of("gain", f"{over}, {name}", found) for name, found in _both(task, policies).items()),
        *(
            row_of("gain", "gain over one arm for all patients", found) | {"group": arm}
            for arm, found in each.items()
        ),
        row_of("gain", "gain over the received arm", policies.over_partitions(partial(_over_received, task))),
        row_of(
            "gain",
            "gain over random assignment, same arm proportions",
            policies.over_partitions(_over_random),
        ),
    ]


def _over_arm(arm: Any, policies: Policies) -> Gain:
    return gain_over_best_arm(policies.scores, policies.recommended, comparator=arm, **policies.options)


def _over_received(task: ValidationTask, policies: Policies) -> Gain:
    scores, rule = policies.scores, policies.recommended
    return gain_over_received(task.good_y, task.arms, scores, rule, **policies.options)


def _over_random(policies: Policies) -> Gain:
    return gain_over_random(policies.scores, policies.recommended, **policies.options)


def _over_picked(task: ValidationTask, policies: Policies) -> Gain:
    return gain_of(task, policies.scores, policies.recommended, None, policies.options)


def _both(task: ValidationTask, policies: Policies) -> dict[str, Gain | Estimate]:
    """Return the gain over the arm named in advance, and over the one that did best in these data."""
    named: Gain | Estimate = policies.gain
    if policies.comparator is None:
        named = not_estimable(
            "no arm received in this cohort was named",
            n=len(policies.scores),
            n_events=None,
            level=task.level,
        )
    else:
        named = replace(policies.gain, method=f"over {policies.comparator}; {policies.gain.method}")
    picked = policies.over_partitions(partial(_over_picked, task))
    return {
        BEFOREHAND: named,
        ON_THIS_DATA: replace(picked, method=f"over {picked.comparator_arm}; {picked.method}"),
    }


def effective_n(task: ValidationTask, policies: Policies) -> float:
    """Return the effective sample size of the concordant patients (Kish)."""
    if policies.problem is not None:
        return NAN
    propensity = received_propensity(task.arms, policies.propensity)
    concordant = share_received(policies.recommended, task.arms)
    if task.weight is not None:
        concordant = concordant * task.weight
    return effective_sample_size(concordant / propensity) if concordant.any() else 0.0


def _at_few_sites(task: ValidationTask, policies: Policies) -> list[str]:
    """Return the arms received at few of many sites (or by few persons), where these are the clusters."""
    clusters = policies.options["clusters"]
    by_therapist = 1 < task.n_sites < MIN_CLUSTERS
    if clusters is None or by_therapist or len(np.unique(clusters)) < MIN_CLUSTERS:
        return []
    sites = pd.Series(clusters).groupby(task.arms).nunique()
    return [str(arm) for arm in policies.scores.columns if sites.get(arm, 0) < MIN_CLUSTERS]


def _cautions(task: ValidationTask, policies: Policies) -> list[Caution]:
    if policies.problem is not None:
        return []
    found = []
    if policies.assignment.startswith("estimated"):
        text = (
            "The probabilities of the received arms were estimated. Estimates of policy values and gains are "
            "associations: they are unbiased only if all determinants of the choice of arm are among the "
            "covariates" + ("; the site is not among them." if task.n_sites > 1 else ".")
        )
        found.append(Caution(Severity.ASSOCIATION, text))
    if policies.unseen:
        lost = [str(arm) for arm in policies.unseen]
        text = f"No outcome was observed under {lost}; policies exclude these arms."
        found.append(Caution(Severity.PARTIAL, text))
    if policies.n_replaced:
        never = [str(arm) for arm in task.by_arm.columns if arm not in policies.table.columns]
        text = (
            "An arm that no patient in this cohort received is the recommended arm of "
            f"{count_of(policies.n_replaced, 'patient')} (arms: {never}); the estimates of policies use the "
        )
        text += "next best arm instead." if task.given is None else "arm that is given now instead."
        found.append(Caution(Severity.PARTIAL, text))
    if task.n_out_of_scope and task.given is None:
        text = (
            f"The model recommends no arm for {count_of(task.n_out_of_scope, 'patient')}, who are out of its "
            "scope. Estimates of policies give them the arm with the most favorable predicted probability."
        )
        found.append(Caution(Severity.MILD, text))
    if 1 < task.n_sites < MIN_CLUSTERS:
        others = "treat patients as independent" if task.clusters is None else "are robust by therapist"
        text = (
            f"There are {task.n_sites} sites, fewer than the {MIN_CLUSTERS} needed for cluster-robust "
            f"intervals by site: intervals {others} and do not generalize beyond these sites"
        )
        if task.n_sites >= FEWEST_CLUSTERS:
            text += "; those of policy values and gains are robust by site, with a small-sample correction"
        text += "."
        found.append(Caution(Severity.PARTIAL, text))
    if few := _at_few_sites(task, policies):
        text = (
            f"Arms received at fewer than {MIN_CLUSTERS} sites: {few}. Intervals of policy values and gains "
            "that depend on them do not fully reflect differences between sites."
        )
        found.append(Caution(Severity.PARTIAL, text))
    if policies.gain.comparator_source == ON_THIS_DATA:
        text = (
            "No arm received in this cohort was named in advance as the best single arm; it was selected in "
            f"this cohort (among arms with at least {MIN_EVENTS} events and non-events), so the comparison "
            "is slightly conservative."
        )
        found.append(Caution(Severity.MILD, text))
    return found
