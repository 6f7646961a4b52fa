"""What would have happened under other ways to choose arms, from doubly robust scores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_by_arm, check_choice, check_unique
from treatsel._stats.by_arm_tables import recommended_arms
from treatsel._stats.estimate import not_estimable
from treatsel.errors import InputError
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
from treatsel.metrics.policy import BEFOREHAND, BEST, ON_THIS_DATA
from treatsel.models import assignment_probabilities, balanced_folds
from treatsel.validation._task import ValidationTask, by_text
from treatsel.validation.parts._part import FEWEST_EVENTS, Caution, PartResult, Severity, row, row_of

FEWEST_RECEIVED = (
    10  # patients with the outcome observed, of each of two arms, from whom a policy can be judged
)
NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Policies:
    """Policies compared by the rate of the good outcome, for patients with the outcome observed.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, n_given)
        Predicted probability of the good outcome, of the arms that somebody received.
    chances : DataFrame of shape (n_patients, n_given)
        Probability of being given each arm.
    everybody : DataFrame of shape (n_all, n_given)
        The same, also for patients whose outcome was not observed.
    scores : DataFrame of shape (n_patients, n_given)
        Doubly robust scores.
    recommended : Series
        Recommended arm; the next best one where nobody received the best.
    best_arm : label or None
        Best single arm named beforehand, if somebody received it.
    gain : Gain
        Over the best single arm: the headline.
    assignment : str
        Where the chances come from.
    n_replaced : int
        Patients whose recommended arm nobody received.
    unseen : list
        Arms received only by patients whose outcome was not observed.
    options : dict
        Groups and level, for metrics.
    problem : str or None
        Why these data tell nothing about policies; chances, scores and gain are then NaN.
    """

    table: pd.DataFrame
    chances: pd.DataFrame
    everybody: pd.DataFrame
    scores: pd.DataFrame
    recommended: pd.Series
    best_arm: Any
    gain: Gain
    assignment: str
    n_replaced: int
    unseen: list[Any]
    options: dict[str, Any]
    problem: str | None = None


def policies_of(setting: ValidationTask, assignment: str | Mapping[Any, float] | pd.DataFrame) -> Policies:
    """Compare the rule "highest predicted probability of the good outcome" with simpler ones."""
    received, table = setting.received[setting.seen], setting.good_table
    covariates = setting.cohort.X.drop(columns=[str(setting.cohort.codebook.arm)])
    given = [arm for arm in table.columns if (received == arm).any()]
    problem = setting.one_class or _too_few(received)
    everybody, source = _chances(
        assignment,
        setting.received,
        covariates,
        table.columns,
        setting.random_state,
        estimable=problem is None,
    )
    recommended = recommended_arms(table, setting.best_arm)
    everybody = everybody[given].div(everybody[given].sum(axis=1), axis=0)
    possible = recommended.where(recommended.isin(given), table[given].idxmax(axis=1))
    best = setting.best_arm if setting.best_arm in given else None
    options: dict[str, Any] = {"clusters": setting.clusters, "level": setting.level}
    if problem is None:
        scores = aipw_scores(setting.good_y, received, table[given], everybody[setting.seen])
        gain = _gain(setting, scores, possible, best, options)
    else:
        everybody, scores = everybody * NAN, table[given] * NAN
        gain = _no_gain(setting, problem)
    return Policies(
        table=table[given],
        chances=everybody[setting.seen],
        everybody=everybody,
        scores=scores,
        recommended=possible,
        best_arm=best,
        gain=gain,
        assignment=source,
        unseen=[arm for arm in pd.unique(setting.received) if arm not in given],
        n_replaced=int((possible != recommended).sum()),
        options=options,
        problem=problem,
    )


def _too_few(received: pd.Series) -> str | None:
    """Return why policies cannot be judged by so few patients, if so."""
    counts = received.value_counts()
    if len(counts) < 2:
        return f"every patient with the outcome observed received {str(counts.index[0])!r}"
    if (enough := int((counts >= FEWEST_RECEIVED).sum())) < 2:
        return (
            f"too few patients; arms that {FEWEST_RECEIVED} or more of them received and have an outcome "
            f"for: {enough} of {len(counts)} (2 are needed)"
        )
    return None


def _no_gain(setting: ValidationTask, problem: str) -> Gain:
    nothing = {"value": NAN, "lower": NAN, "upper": NAN, "se": NAN, "p_value": NAN}
    return Gain(
        **nothing,
        compared_with=BEST,
        best_arm=setting.best_arm,
        chosen=BEFOREHAND,
        n=len(setting.observed),
        n_discordant=0,
        n_clusters=None,
        level=setting.level,
        method=f"not estimable: {problem}",
    )


def _gain(
    setting: ValidationTask, scores: pd.DataFrame, rule: pd.Series, best: Any, options: dict[str, Any]
) -> Gain:
    """Return the gain over the best arm; unless named, it is picked among arms with enough outcomes."""
    if best is not None:
        return gain_over_best_arm(scores, rule, best_arm=best, **options)
    picked = scores[_enough(setting, scores.columns) or list(scores.columns)].mean().idxmax()
    gain = gain_over_best_arm(scores, rule, best_arm=picked, **options)
    return replace(gain, chosen=ON_THIS_DATA)


def _enough(setting: ValidationTask, arms: pd.Index) -> list[Any]:
    """Return the arms with enough events and non-events to be picked as the best."""
    counts = pd.DataFrame({"event": setting.good_y, "other": 1 - setting.good_y}).groupby(setting.arms).sum()
    return [arm for arm in arms if counts.loc[arm].min() >= FEWEST_EVENTS]


def policies(setting: ValidationTask, policies: Policies) -> PartResult:
    """Return the rate of the good outcome under each policy, the gains, and who is sent where."""
    tables = {"flow": _flow(setting)}
    if policies.problem is not None:
        rows = [row_of("gain", "gain over the best single arm", policies.gain)]
        return PartResult(figures=rows, tables=tables, cautions=_cautions(setting, policies))
    y, received, options = setting.good_y, setting.arms, policies.options
    scores, rule = policies.scores, policies.recommended
    propensity = received_propensity(received, policies.chances)
    rows = [
        row(
            "policy",
            f"everybody gets {arm}",
            *mean[["value", "lower", "upper"]],
            n=mean["n"],
            method=mean["method"],
        )
        for arm, mean in arm_means(scores, **options).iterrows()
    ]
    weighted = policy_value(y, received, rule, propensity=propensity, **options)
    naive = naive_concordance_contrast(y, received, rule, prognosis=policies.table.mean(axis=1), **options)
    rows += [
        row_of("policy", "recommended arm", policy_value_aipw(scores, rule, **options)),
        row_of("policy", "recommended arm, weighted estimate", weighted),
        *_gains(setting, policies),
        row_of("naive", "concordant less discordant (biased)", naive.difference),
        row_of("naive", "the same if nobody gained", naive.without_gain),
    ]
    return PartResult(figures=rows, tables=tables, cautions=_cautions(setting, policies))


def _gains(setting: ValidationTask, policies: Policies) -> list[dict[str, Any]]:
    """Return the gains over the best single arm (by both ways to name it), each arm, own and random arms."""
    scores, rule, options = policies.scores, policies.recommended, policies.options
    each = gain_over_each_arm(scores, rule, **options).table
    over = "gain over the best single arm"
    received = gain_over_received(setting.good_y, setting.arms, scores, rule, **options)
    return [
        row_of("gain", over, policies.gain),
        *(row_of("gain", f"{over}, {name}", found) for name, found in _both(setting, policies).items()),
        *(
            row(
                "gain",
                "gain over one arm for everybody",
                *found[["value", "lower", "upper"]],
                n=found["n"],
                method=found["method"],
                group=arm,
            )
            for arm, found in each.iterrows()
        ),
        row_of("gain", "gain over the received arm", received),
        row_of("gain", "gain over arms drawn by lot, same shares", gain_over_random(scores, rule, **options)),
    ]


def _both(setting: ValidationTask, policies: Policies) -> dict[str, Gain | Estimate]:
    """Return the gain over the arm named beforehand, and over the one that did best in these data."""
    scores, rule, options = policies.scores, policies.recommended, policies.options
    n = len(scores)
    named: Gain | Estimate = policies.gain
    if policies.best_arm is None:
        named = not_estimable(
            "no arm that somebody received was named", n=n, n_events=None, level=setting.level
        )
    else:
        named = replace(policies.gain, method=f"over {policies.best_arm}; {policies.gain.method}")
    picked = _gain(setting, scores, rule, None, options)
    found = {
        BEFOREHAND: named,
        ON_THIS_DATA: replace(picked, method=f"over {picked.best_arm}; {picked.method}"),
    }
    rare = [str(arm) for arm in scores.columns if arm not in _enough(setting, scores.columns)]
    allowed: Gain | Estimate = gain_over_best_arm(scores, rule, picking="allowed_for", **options)
    if rare:
        reason = f"arms {rare} have fewer than {FEWEST_EVENTS} events or non-events"
        allowed = not_estimable(reason, n=n, n_events=None, level=setting.level)
    return found | {f"{ON_THIS_DATA}, interval for any pick": allowed}


def effective_n(setting: ValidationTask, policies: Policies) -> float:
    """Return what the concordant patients are worth, as patients of equal weight."""
    if policies.problem is not None:
        return NAN
    propensity = received_propensity(setting.arms, policies.chances)
    concordant = (policies.recommended == setting.arms).to_numpy()
    return effective_sample_size(1 / propensity[concordant]) if concordant.any() else 0.0


def _flow(setting: ValidationTask) -> pd.DataFrame:
    table = setting.by_arm if setting.good else 1 - setting.by_arm
    recommended = recommended_arms(table, setting.best_arm).value_counts()
    rows = []
    for arm in table.columns:
        mine = setting.y[setting.received == arm]
        counts = {"n": len(mine), "n_observed": int(mine.notna().sum()), "n_events": int(mine.sum())}
        rows.append({"arm": arm, **counts, "n_recommended": int(recommended.get(arm, 0))})
    return pd.DataFrame(rows)


def _cautions(setting: ValidationTask, policies: Policies) -> list[Caution]:
    if policies.problem is not None:
        return []
    found = []
    if policies.assignment.startswith("estimated"):
        text = (
            "The probabilities of the received arms were estimated. Policy figures are associations: they "
            "hold only if every reason for choosing an arm is among the covariates"
            + ("; the site is not." if setting.n_sites > 1 else ".")
        )
        found.append(Caution(Severity.ASSOCIATION, text))
    if policies.unseen:
        lost = [str(arm) for arm in policies.unseen]
        text = f"No outcome was observed under {lost}: policies leave these arms out."
        found.append(Caution(Severity.PARTIAL, text))
    if policies.n_replaced:
        never = [str(arm) for arm in setting.by_arm.columns if arm not in policies.table.columns]
        text = (
            f"{policies.n_replaced} patients are recommended an arm that nobody here received (of {never}); "
            "the policy figures give them the next best arm instead."
        )
        found.append(Caution(Severity.PARTIAL, text))
    if 1 < setting.n_sites < MIN_CLUSTERS:
        text = (
            f"There are {setting.n_sites} sites, too few for intervals that allow for differences between "
            "sites: they speak of these sites only."
        )
        found.append(Caution(Severity.PARTIAL, text))
    if policies.gain.chosen == ON_THIS_DATA:
        text = (
            "No best single arm that anybody here received was named beforehand; it was picked on this very "
            f"cohort (among arms with {FEWEST_EVENTS} events and non-events or more), which is a little too "
            "hard on the recommendations."
        )
        found.append(Caution(Severity.MILD, text))
    return found


def _chances(
    assignment: str | Mapping[Any, float] | pd.DataFrame,
    received: pd.Series,
    covariates: pd.DataFrame,
    arms: pd.Index,
    random_state: int | None,
    *,
    estimable: bool,
) -> tuple[pd.DataFrame, str]:
    """Return the probability of each arm for each patient, and where it comes from, in words."""
    if isinstance(assignment, pd.DataFrame):
        table = check_by_arm("assignment", assignment).rename(columns=by_text(arms))
        check_unique("The arms of assignment", table.columns)
        lacking = [str(arm) for arm in arms if arm not in table.columns]
        lost = int((~received.index.isin(table.index)).sum())
        if lacking or lost:
            raise InputError(
                f"assignment lacks the arms {lacking} and {lost} of {len(received)} patients; it needs all "
                "of both."
            )
        return _rescaled(table.loc[received.index, list(arms)], received), "known for each patient"
    if isinstance(assignment, Mapping):
        shares = _known_shares(assignment, received, arms)
        return _rescaled(_same_for_all(shares, received), received), "known by design"
    check_choice("assignment", assignment, ["estimated", "randomised"])
    if assignment == "randomised":
        shares = received.value_counts(normalize=True).reindex(arms, fill_value=0.0)
        return _rescaled(_same_for_all(shares, received), received), "randomised, in the shares observed"
    if not estimable:
        return _same_for_all(pd.Series(NAN, index=arms), received), "not estimated"
    folds = balanced_folds(received, np.zeros(len(received)), random_state=random_state)
    table = assignment_probabilities(covariates, received, folds).reindex(columns=arms, fill_value=0.0)
    return table, "estimated from the covariates"


def _known_shares(assignment: Mapping[Any, float], received: pd.Series, arms: pd.Index) -> pd.Series:
    """Return the known probability of each arm; labels are matched as text."""
    given = {str(arm): float(share) for arm, share in assignment.items()}
    for name in given:
        check_choice("An arm of the assignment", name, [str(arm) for arm in arms])
    lacking = sorted({str(arm) for arm in received.unique()} - set(given))
    if lacking:
        raise InputError(f"The assignment lacks the arms {lacking}, which patients received.")
    total = sum(given.values())
    if not (abs(total - 1) <= 1e-6 and min(given.values()) >= 0):
        raise InputError(
            f"The probabilities of the arms must be 0 or more and add up to 1, not to {total:g}."
        )
    return pd.Series({arm: given.get(str(arm), 0.0) for arm in arms})


def _same_for_all(shares: pd.Series, received: pd.Series) -> pd.DataFrame:
    values = np.tile(shares.to_numpy(dtype=float), (len(received), 1))
    return pd.DataFrame(values, index=received.index, columns=shares.index)


def _rescaled(table: pd.DataFrame, received: pd.Series) -> pd.DataFrame:
    """Return rows that add up to 1 over the arms given in this cohort."""
    given = table.columns.isin(received.unique())
    total = table.loc[:, given].sum(axis=1)
    return table.mul(given, axis=1).div(total, axis=0)
