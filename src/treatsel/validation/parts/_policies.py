"""Part: value of the recommendations against simpler policies, from doubly robust scores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from treatsel._checks import ROUNDING, count_of
from treatsel._stats.by_arm_tables import recommended_shares, share_received
from treatsel._stats.estimate import not_estimable
from treatsel.metrics import (
    MIN_CLUSTERS,
    Estimate,
    Gain,
    aipw_scores,
    arm_means,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_each_arm,
    gain_over_random,
    gain_over_received,
    naive_concordance_contrast,
    policy_value,
    policy_value_aipw,
    received_propensity,
)
from treatsel.metrics.policy import BEFOREHAND, BEST, OF_FOLDS, ON_THIS_DATA
from treatsel.validation._propensity import propensity_of
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import MIN_EVENTS, Caution, PartResult, Severity, row, row_of

# Patients with the outcome observed that at least two arms must have. With fewer, a fold of the cross-fitted
# assignment model, and the variance of the scores, would rest on one patient of the arm or none.
MIN_RECEIVED = 10
NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Policies:
    """Policies and what is needed to evaluate them, for patients with the outcome observed.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, n_given)
        Predicted probability of the good outcome under the arms received in this cohort.
    propensity : DataFrame of shape (n_patients, n_given)
        Probability of receiving each arm.
    propensity_all : DataFrame of shape (n_all, n_given)
        The same, including patients whose outcome was not observed.
    scores : DataFrame of shape (n_patients, n_given)
        Doubly robust scores.
    recommended : DataFrame
        Share of each arm in each patient's recommendation (tied arms share a patient); the next best arm
        where no patient received the best.
    comparator : label or None
        Best single arm named in advance, if any patient received it.
    by_patient : Series or None
        In cross-validation, the best single arm of the other folds, of all patients.
    gain : Gain
        Gain over the best single arm: the headline.
    assignment : str
        Source of the probabilities, as text.
    n_replaced : int
        Patients whose recommended arm no patient received.
    unseen : list
        Arms received only by patients whose outcome was not observed.
    options : dict
        Clusters and level, for metrics.
    problem : str or None
        Why policies cannot be evaluated in these data; propensity, scores and gain are then NaN.
    """

    table: pd.DataFrame
    propensity: pd.DataFrame
    propensity_all: pd.DataFrame
    scores: pd.DataFrame
    recommended: pd.DataFrame
    comparator: Any
    by_patient: pd.Series | None
    gain: Gain
    assignment: str
    n_replaced: int
    unseen: list[Any]
    options: dict[str, Any]
    problem: str | None = None

    def best_single_arm(self, rows: Any) -> Any:
        """Return what the gain of some patients (a mask of all) is over: an arm, or an arm by patient."""
        return self.gain.comparator_arm if self.by_patient is None else self.by_patient[rows]


def policies_of(task: ValidationTask, assignment: str | Mapping[Any, float] | pd.DataFrame) -> Policies:
    """Compare the rule of `recommend` with simpler policies.

    By default, `recommend` gives the arm with the highest predicted probability of the good outcome (rule
    "expected"), and ties to the default arm.
    """
    received, table = task.received[task.seen], task.good_table
    covariates = task.cohort.X.drop(columns=[str(task.cohort.codebook.arm)])
    given = [arm for arm in table.columns if (received == arm).any()]
    problem = task.one_class or _too_few(received)
    every, source = propensity_of(
        assignment,
        task.received,
        covariates,
        table.columns,
        task.random_state,
        estimable=problem is None,
    )
    wanted = recommended_shares(table, task.tie_arm)
    every = every[given].div(every[given].sum(axis=1), axis=0)
    best = _comparator(task, given)
    impossible = wanted[given].sum(axis=1) < 1 - ROUNDING
    recommended = wanted[given].copy()
    recommended.loc[impossible] = recommended_shares(table.loc[impossible, given], task.tie_arm)
    options: dict[str, Any] = {"clusters": task.clusters, "level": task.level}
    if problem is None:
        scores = aipw_scores(task.good_y, received, table[given], every[task.seen])
        gain = _gain(task, scores, recommended, best, options)
    else:
        every, scores = every * NAN, table[given] * NAN
        gain = _no_gain(task, problem)
    return Policies(
        table=table[given],
        propensity=every[task.seen],
        propensity_all=every,
        scores=scores,
        recommended=recommended,
        comparator=None if isinstance(best, pd.Series) else best,
        by_patient=best if isinstance(best, pd.Series) else None,
        gain=gain,
        assignment=source,
        unseen=[arm for arm in pd.unique(task.received) if arm not in given],
        n_replaced=int(impossible.sum()),
        options=options,
        problem=problem,
    )


def without_gain(task: ValidationTask, policies: Policies, reason: str) -> Policies:
    """Return policies that are not evaluated, for a reason: no gain is computed from them in any part."""
    nothing = policies.scores * NAN
    return replace(policies, scores=nothing, gain=_no_gain(task, reason), problem=reason)


def _too_few(received: pd.Series) -> str | None:
    """Return why there are too few patients to evaluate policies; None if there are enough."""
    counts = received.value_counts()
    if len(counts) < 2:
        return f"every patient with the outcome observed received {str(counts.index[0])!r}"
    if (enough := int((counts >= MIN_RECEIVED).sum())) < 2:
        return (
            f"too few patients: {enough} of {count_of(len(counts), 'arm')} with {MIN_RECEIVED} patients or "
            "more whose outcome was observed; 2 are needed"
        )
    return None


def _no_gain(task: ValidationTask, problem: str) -> Gain:
    nothing = {"value": NAN, "lower": NAN, "upper": NAN, "se": NAN, "p_value": NAN}
    return Gain(
        **nothing,
        comparator=BEST,
        comparator_arm=task.comparator,
        comparator_source=BEFOREHAND,
        n=len(task.observed),
        n_discordant=0,
        n_clusters=None,
        level=task.level,
        method=f"not estimable: {problem}",
    )


def _gain(
    task: ValidationTask,
    scores: pd.DataFrame,
    rule: pd.DataFrame,
    best: Any,
    options: dict[str, Any],
) -> Gain:
    """Return the gain over the best arm; if not named, it is selected among arms with enough events."""
    if isinstance(best, pd.Series):
        gain = gain_over_best_arm(scores, rule, comparator=best[task.seen], **options)
        return replace(gain, comparator_source=OF_FOLDS)
    if best is not None:
        return gain_over_best_arm(scores, rule, comparator=best, **options)
    picked = scores[_enough(task, scores.columns) or list(scores.columns)].mean().idxmax()
    gain = gain_over_best_arm(scores, rule, comparator=picked, **options)
    return replace(gain, comparator_source=ON_THIS_DATA)


def _comparator(task: ValidationTask, given: list[Any]) -> Any:
    """Return the best single arm named in advance; in cross-validation, by patient, that of the other folds.

    The rule and the arm that it is compared with are then learned from the same patients: an arm that was
    picked in the evaluated patients would be compared at its best. None: it is selected in these data.
    """
    if task.comparator in given:
        return task.comparator
    if task.fold_comparator is None:
        return None
    arms = task.fold_comparator
    usual = next((arm for arm in arms.value_counts().index if arm in given), given[0])
    return arms.where(arms.isin(given), usual)


def _enough(task: ValidationTask, arms: pd.Index) -> list[Any]:
    """Return the arms with enough events and non-events to be selected as the best."""
    counts = pd.DataFrame({"event": task.good_y, "other": 1 - task.good_y}).groupby(task.arms).sum()
    return [arm for arm in arms if counts.loc[arm].min() >= MIN_EVENTS]


def policies(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the rate of the good outcome under each policy, the gains, and the recommended arms."""
    if policies.problem is not None:
        rows = [row_of("gain", "gain over the best single arm", policies.gain)]
        return PartResult(figures=rows, cautions=_cautions(task, policies))
    y, received, options = task.good_y, task.arms, policies.options
    scores, rule = policies.scores, policies.recommended
    propensity = received_propensity(received, policies.propensity)
    rows = [
        row(
            "policy",
            f"all patients receive {arm}",
            *mean[["value", "lower", "upper"]],
            n=mean["n"],
            method=mean["method"],
        )
        for arm, mean in arm_means(scores, received=received, **options).iterrows()
    ]
    weighted = policy_value(y, received, rule, propensity=propensity, **options)
    naive = naive_concordance_contrast(y, received, rule, prognosis=policies.table.mean(axis=1), **options)
    rows += [
        row_of("policy", "recommended arm", policy_value_aipw(scores, rule, **options)),
        row_of("policy", "recommended arm, weighted estimate", weighted),
        *_gains(task, policies),
        row_of("naive", "concordant minus discordant (naive)", naive.difference),
        row_of("naive", "expected under no gain", naive.without_gain),
    ]
    return PartResult(figures=rows, cautions=_cautions(task, policies))


def _gains(task: ValidationTask, policies: Policies) -> list[dict[str, Any]]:
    """Return the gains over the best single arm, each arm, the received arms and random assignment."""
    scores, rule, options = policies.scores, policies.recommended, policies.options
    each = gain_over_each_arm(scores, rule, **options).table
    over = "gain over the best single arm"
    received = gain_over_received(task.good_y, task.arms, scores, rule, **options)
    return [
        row_of("gain", over, policies.gain),
        *(row_of("gain", f"{over}, {name}", found) for name, found in _both(task, policies).items()),
        *(
            row(
                "gain",
                "gain over one arm for all patients",
                *found[["value", "lower", "upper"]],
                n=found["n"],
                method=found["method"],
                group=arm,
            )
            for arm, found in each.iterrows()
        ),
        row_of("gain", "gain over the received arm", received),
        row_of(
            "gain",
            "gain over random assignment, same arm proportions",
            gain_over_random(scores, rule, **options),
        ),
    ]


def _both(task: ValidationTask, policies: Policies) -> dict[str, Gain | Estimate]:
    """Return the gain over the arm named in advance, and over the one that did best in these data."""
    scores, rule, options = policies.scores, policies.recommended, policies.options
    n = len(scores)
    named: Gain | Estimate = policies.gain
    if policies.comparator is None:
        named = not_estimable(
            "no arm received in this cohort was named", n=n, n_events=None, level=task.level
        )
    else:
        named = replace(policies.gain, method=f"over {policies.comparator}; {policies.gain.method}")
    picked = _gain(task, scores, rule, None, options)
    found = {
        BEFOREHAND: named,
        ON_THIS_DATA: replace(picked, method=f"over {picked.comparator_arm}; {picked.method}"),
    }
    rare = [str(arm) for arm in scores.columns if arm not in _enough(task, scores.columns)]
    allowed: Gain | Estimate = gain_over_best_arm(scores, rule, selection="adjusted", **options)
    if rare:
        reason = f"arms {rare} have fewer than {MIN_EVENTS} events or non-events"
        allowed = not_estimable(reason, n=n, n_events=None, level=task.level)
    return found | {f"{ON_THIS_DATA}, selection-adjusted interval": allowed}


def effective_n(task: ValidationTask, policies: Policies) -> float:
    """Return the effective sample size of the concordant patients (Kish)."""
    if policies.problem is not None:
        return NAN
    propensity = received_propensity(task.arms, policies.propensity)
    concordant = share_received(policies.recommended, task.arms)
    return effective_sample_size(concordant / propensity) if concordant.any() else 0.0


def _at_few_sites(task: ValidationTask, policies: Policies) -> list[str]:
    """Return the arms received at few of the sites, where intervals are cluster-robust."""
    if policies.options["clusters"] is None:
        return []
    sites = pd.Series(policies.options["clusters"]).groupby(task.arms).nunique()
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
            "next best arm instead."
        )
        found.append(Caution(Severity.PARTIAL, text))
    if task.n_out_of_scope:
        text = (
            f"The model recommends no arm for {count_of(task.n_out_of_scope, 'patient')}, who are out of its "
            "scope. Estimates of policies give them the arm with the most favorable predicted probability."
        )
        found.append(Caution(Severity.MILD, text))
    if 1 < task.n_sites < MIN_CLUSTERS:
        text = (
            f"There are {task.n_sites} sites, fewer than the {MIN_CLUSTERS} needed for cluster-robust "
            "intervals: the intervals do not generalize beyond these sites."
        )
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
