"""Part: the rule in use. Its value on every outcome and on the utility, and which patients it moves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import is_small, is_telling, stated, suppressed, table_suppression
from treatsel._measures import MEASURES
from treatsel._stats.by_arm_tables import value_under
from treatsel._stats.clustered_means import check_units, mean_estimate
from treatsel._stats.estimate import not_estimable
from treatsel._stats.intervals import wilson
from treatsel.errors import InputError
from treatsel.metrics import (
    Estimate,
    Gain,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_received,
    policy_value_aipw,
)
from treatsel.preference import outcome_weights
from treatsel.validation._policies import Policies, policies_of
from treatsel.validation._predicted import predicted
from treatsel.validation._rule import GIVEN, RuleInUse
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity, row, row_of

SECTION = "rule in use"
VALUE, GAIN, OVER_RECEIVED, MOVED, CONCORDANT = (
    MEASURES[key].label
    for key in ("policy_value", "gain", "gain_over_received", "moved_from_default", "concordant")
)
NO_ARM = "no arm"  # recommended to a patient: the arm that is given now is kept
UTILITY = "utility"
EXCLUDED = "exclusions applied"
ROUNDED = 10  # to which counts of all patients are rounded beside those of fewer: twice the smallest group
MIN_LEFT = 10  # patients, by whom two published groups may differ; fewer could be told by subtraction

Whole = tuple[ValidationTask, Policies]


def rule_in_use(
    task: ValidationTask, policies: Policies, *, model: Any, rule: RuleInUse, whole: Whole | None
) -> PartResult:
    """Return the value of the rule on other outcomes and the utility, its overlap, and who is moved.

    `whole`: all patients, each with the arms that the rules of eligibility permit; None: these are the same.
    """
    everyone, all_policies = (task, policies) if whole is None else whole
    tables = _moved(everyone, all_policies, exact=whole is None)
    rows, left = _shares(everyone, exact=whole is None), list[tuple[str, str]]()
    if whole is not None:
        found = _of_everyone(task, policies, *whole)
        rows, left = [*rows, *found.figures], [*left, *found.not_estimable]
    if policies.problem is None:
        found = _of_outcomes(task, policies, model, rule)
        rows, left = [*rows, *found.figures], [*left, *found.not_estimable]
    return PartResult(figures=rows, tables=tables, not_estimable=left, cautions=_cautions(task))


# --- who is moved, and how often the recommended arm was given


def _counts(task: ValidationTask) -> FloatArray:
    """Return the number of patients by received arm (rows) and recommended arm, at last none."""
    received = (task.received.to_numpy(dtype=object)[:, None] == list(task.by_arm.columns)).astype(float)
    shares = task.recommended.to_numpy(dtype=float)
    return np.asarray(received.T @ np.column_stack([shares, 1 - shares.sum(axis=1)]))


def _moved(task: ValidationTask, policies: Policies, *, exact: bool) -> dict[str, pd.DataFrame]:
    """Return counts by received and recommended arm, and how often the recommended arm was received."""
    arms, counts = list(task.by_arm.columns), np.round(_counts(task), 6)
    shown = np.where(table_suppression(counts), np.nan, np.round(counts))
    totals = suppressed(counts.sum(axis=0))
    if not exact:  # the difference from the patients who may receive every arm would tell of few patients
        shown, totals = ROUNDED * np.round(shown / ROUNDED), ROUNDED * np.round(totals / ROUNDED)
    labels = [*map(str, arms), NO_ARM]
    moved = pd.DataFrame(
        {
            "received": np.repeat(labels[:-1], len(labels)),
            "recommended": np.tile(labels, len(arms)),
            "n": shown.ravel(),
        }
    )
    own = np.diag(shown[:, : len(arms)])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(totals[:-1] > 0, own / totals[:-1], np.nan)
    sizes = [
        np.nan if value != value else _effective(task, policies, arm)
        for arm, value in zip(arms, share, strict=True)
    ]
    overlap = {"arm": labels[:-1], "n_recommended": np.round(totals[:-1]), "n_concordant": own}
    return {
        "moved": moved,
        "overlap": pd.DataFrame(overlap | {"share_concordant": share, "effective_n": sizes}),
    }


def _effective(task: ValidationTask, policies: Policies, arm: Any) -> float:
    """Return the effective sample size (Kish) of the patients who received the arm and are recommended it."""
    if policies.problem is not None or arm not in policies.recommended:
        return float("nan")
    mine = task.arms == arm  # of other patients the probability may be 0
    weight = (policies.recommended.loc[mine, arm] / policies.propensity.loc[mine, arm]).to_numpy()
    return effective_sample_size(weight) if weight.any() else 0.0


def _shares(task: ValidationTask, *, exact: bool) -> list[dict[str, Any]]:
    """Return the share of patients moved from the default arm, and that of those given their arm.

    None is shown that would tell a count that the tables hide. Unless `exact`, counts are rounded.
    """
    counts, step = np.round(_counts(task), 6), 1 if exact else ROUNDED
    own, few = np.diag(counts[:, :-1]), np.diag(table_suppression(counts)[:, :-1])
    open_ = not few.any() or (few.sum() > 1 and own[few].sum() >= MIN_LEFT)
    rows = [_share(CONCORDANT, own.sum(), step, task, shown=bool(open_))]
    if task.tie_arm is None:
        return rows
    default = pd.Series(task.tie_arm, index=task.y.index, dtype=object).to_numpy()
    elsewhere = np.array([default != arm for arm in task.by_arm.columns]).T
    n_moved = (task.recommended.to_numpy(dtype=float) * elsewhere).sum()
    shown = not np.isnan(suppressed(counts.sum(axis=0))).any()
    return [*rows, _share(MOVED, n_moved, step, task, shown=shown)]


def _share(measure: str, count: float, step: int, task: ValidationTask, *, shown: bool) -> dict[str, Any]:
    n, events = len(task.y), step * round(float(count) / step)
    if not shown or is_small(events) or is_small(n - events):
        found = not_estimable("small counts are not shown", n=n, n_events=None, level=task.level)
        return row_of(SECTION, measure, found)
    limits = (float(end) for end in wilson(np.array(float(events)), np.array(float(n)), task.level))
    method = "Wilson, all patients" + ("" if step == 1 else f", count rounded to {step}")
    return row(SECTION, measure, events / n, *limits, n=n, n_events=events, method=method)


# --- value


def _of_everyone(
    task: ValidationTask, policies: Policies, everyone: ValidationTask, whole: Policies
) -> PartResult:
    """Return the value of the rule in all patients, and the gain over the arms received."""
    more = len(everyone.observed) - len(task.observed)
    why = policies.problem or whole.problem
    if why is None and (more < MIN_LEFT or is_telling(more, everyone.good_y.sum() - task.good_y.sum())):
        why = f"with exclusions, {stated(more, 'patient')} more would be told by subtraction"
    if why is not None:
        return PartResult(not_estimable=[(f"{VALUE}, {EXCLUDED}", why)])
    gain = gain_over_received(
        everyone.good_y, everyone.arms, whole.scores, whole.recommended, **whole.options
    )
    value = policy_value_aipw(whole.scores, whole.recommended, **whole.options)
    return PartResult(
        figures=[
            row_of(SECTION, f"{VALUE}, {EXCLUDED}", value),
            row_of(SECTION, f"{OVER_RECEIVED}, {EXCLUDED}", gain),
        ]
    )


def _of_outcomes(task: ValidationTask, policies: Policies, model: Any, rule: RuleInUse) -> PartResult:
    """Return the value of the rule and its gains on the other outcomes, and on the utility."""
    found: dict[str, Whole] = {task.outcome: (task, policies)}
    rows: list[dict[str, Any]] = []
    left: list[tuple[str, str]] = []
    for name in _others(task, model):
        try:
            other = _other(task, policies, model, name)
            rows += _rows(*other)
            found[name] = other
        except InputError as error:
            left.append((f"The rule in use on {name}", str(error)))
    try:
        rows += _of_utility(task, found, rule, model)
    except InputError as error:
        left.append(("Utility of the rule in use", str(error)))
    return PartResult(figures=rows, not_estimable=left)


def _others(task: ValidationTask, model: Any) -> list[str]:
    """Return the other outcomes of a selector that the cohort holds."""
    known = getattr(model, "outcomes_", ()) if hasattr(model, "model_") else ()
    return [name for name in known if name != task.outcome and name in task.cohort.codebook.outcomes]


def _other(task: ValidationTask, policies: Policies, model: Any, name: str) -> Whole:
    """Return the same patients, rule and probabilities of the arms with another outcome."""
    good = model.event_is_good_.get(name)
    good = task.cohort.codebook[name].event_is_good if good is None else good
    if good is None:
        raise InputError(f"the direction of {name!r} is not stated; set event_is_good in the codebook")
    arms, y = task.by_arm.columns, task.cohort.frame[name]
    events = int(y.sum())
    if is_telling(int(y.notna().sum()), events) or not y.notna().any():
        raise InputError(f"{name!r} was observed in too few patients, or is the same in all of few")
    other = replace(
        task,
        outcome=name,
        good=bool(good),
        y=y,
        by_arm=predicted(model, task.cohort, name)[list(arms)],
        given=task.recommended,
        comparator=policies.gain.comparator_arm if policies.by_patient is None else task.comparator,
    )
    propensity = policies.propensity_all.reindex(columns=arms, fill_value=0.0)
    own = policies_of(other, propensity)
    if own.problem is not None:
        raise InputError(own.problem)
    if is_small(own.gain.n_discordant):
        raise InputError("the recommendations differ from the best single arm in too few patients")
    return other, own


def _rows(task: ValidationTask, policies: Policies) -> list[dict[str, Any]]:
    """Return the rate of the good outcome under the rule, and its gains, with this outcome as the group."""
    scores, shares, options = policies.scores, policies.recommended, policies.options
    gain = policies.gain
    found: dict[str, Estimate | Gain] = {
        VALUE: policy_value_aipw(scores, shares, **options),
        GAIN: replace(gain, method=f"over {gain.comparator_arm}; {gain.method}"),
        OVER_RECEIVED: gain_over_received(task.good_y, task.arms, scores, shares, **options),
    }
    return [
        row_of(SECTION, measure, each, task.good_name)
        | {"method": f"rate of {task.good_name}, higher is better; {each.method}"}
        for measure, each in found.items()
    ]


def _of_utility(
    task: ValidationTask, found: Mapping[str, Whole], rule: RuleInUse, model: Any
) -> list[dict[str, Any]]:
    """Return the utility under the rule, a weighted sum, where all its outcomes were observed."""
    if not rule.preferences:
        return []
    if len(rule.preferences) > 1:
        raise InputError(
            "the preferences state ranges or criteria that are not outcomes of the model, whose values under "
            "the arms were not observed"
        )
    directions = {name: each.good for name, (each, _) in found.items()}
    known = getattr(model, "outcomes_", (task.outcome,))
    weights = outcome_weights(
        rule.preferences["preferences"], tuple(known), {name: directions.get(name, True) for name in known}
    )
    if lacking := [name for name in weights if name not in found]:
        raise InputError(f"the value on {lacking} is not estimable")
    if len(weights) < 2:
        return []
    seen = np.logical_and.reduce([found[name][0].seen for name in weights])
    score, observed = 0.0, 0.0
    for name, weight in weights.items():
        each, policies = found[name]
        score = score + weight * policies.scores[seen[each.seen]]
        observed = observed + weight * each.good_y[seen[each.seen]]
    return _utility_rows(task, found[task.outcome][1], score, observed, seen)


def _utility_rows(
    task: ValidationTask, policies: Policies, scores: Any, observed: Any, seen: np.ndarray
) -> list[dict[str, Any]]:
    arms = [arm for arm in scores.columns if scores[arm].notna().all() and arm in policies.recommended_all]
    scores, shares = scores[arms], policies.recommended_all.loc[seen, arms]
    clusters = policies.options["clusters"]
    options: dict[str, Any] = {
        "clusters": None if clusters is None else clusters[seen[task.seen]],
        "level": task.level,
    }
    units = check_units(None, options["clusters"], task.level, weights_are="counts", scores=scores)
    comparator = policies.gain.comparator_arm
    comparator = policies.by_patient[seen] if policies.by_patient is not None else comparator
    found: dict[str, Estimate | Gain] = {
        VALUE: policy_value_aipw(scores, shares, **options),
        GAIN: gain_over_best_arm(scores, shares, comparator=comparator, **options),
        OVER_RECEIVED: mean_estimate(value_under(shares, scores) - observed, units, n_events=None),
    }
    return [row_of(SECTION, measure, each, UTILITY) for measure, each in found.items()]


def _cautions(task: ValidationTask) -> list[Caution]:
    found = []
    if task.policy.get("rule") == GIVEN:
        text = (
            "The recommendations were given. Whether they were made without the outcomes of these patients "
            "could not be checked; if not, their value is too high."
        )
        found.append(Caution(Severity.MILD, text))
    n = 0 if task.given is None else int((task.given.sum(axis=1) == 0).sum())
    if n:
        text = (
            f"The rule in use gives no arm to {stated(n, 'patient')} (out of scope, no permitted arm, or no "
            "recommendation stated). Estimates of policies let them keep the arm that is given now."
        )
        found.append(Caution(Severity.MILD, text))
    return found
