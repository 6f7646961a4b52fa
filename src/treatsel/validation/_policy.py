"""What would have happened under other ways to choose arms, from doubly robust scores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_by_arm, check_choice
from treatsel.errors import InputError
from treatsel.metrics import (
    MIN_CLUSTERS,
    Gain,
    aipw_scores,
    arm_means,
    concordant_difference,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_random,
    gain_over_received,
    policy_value,
    policy_value_aipw,
    received_propensity,
)
from treatsel.metrics._gain_results import ON_THIS_DATA
from treatsel.models import assignment_probabilities, balanced_folds
from treatsel.validation._part import FEWEST_EVENTS, Caution, Gravity, Part, row, row_of
from treatsel.validation._setting import Setting


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


def policies_of(setting: Setting, assignment: str | Mapping[Any, float] | pd.DataFrame) -> Policies:
    """Compare the rule "highest predicted probability of the good outcome" with simpler ones."""
    received, table = setting.received[setting.seen], setting.good_table
    covariates = setting.cohort.X.drop(columns=[str(setting.cohort.codebook.arm)])
    everybody, source = _chances(
        assignment, setting.received, covariates, table.columns, setting.random_state
    )
    recommended = recommended_arms(table, setting.best_arm)
    given = [arm for arm in table.columns if (received == arm).any()]
    if len(given) < 2:
        raise InputError(f"Every patient received {given[0]!r}. Policies need patients of two arms or more.")
    everybody = everybody[given].div(everybody[given].sum(axis=1), axis=0)
    chances = everybody[setting.seen]
    scores = aipw_scores(setting.good_y, received, table[given], chances)
    possible = recommended.where(recommended.isin(given), table[given].idxmax(axis=1))
    best = setting.best_arm if setting.best_arm in given else None
    options: dict[str, Any] = {"groups": setting.clusters, "level": setting.level}
    return Policies(
        table=table[given],
        chances=chances,
        everybody=everybody,
        scores=scores,
        recommended=possible,
        best_arm=best,
        gain=_gain(setting, scores, possible, best, options),
        assignment=source,
        unseen=[arm for arm in pd.unique(setting.received) if arm not in given],
        n_replaced=int((possible != recommended).sum()),
        options=options,
    )


def _gain(
    setting: Setting, scores: pd.DataFrame, rule: pd.Series, best: Any, options: dict[str, Any]
) -> Gain:
    """Return the gain over the best arm; unless named, it is picked among arms with enough outcomes."""
    if best is not None:
        return gain_over_best_arm(scores, rule, best_arm=best, **options)
    counts = pd.DataFrame({"event": setting.good_y, "other": 1 - setting.good_y}).groupby(setting.arms).sum()
    enough = [arm for arm in scores.columns if counts.loc[arm].min() >= FEWEST_EVENTS]
    picked = scores[enough or list(scores.columns)].mean().idxmax()
    gain = gain_over_best_arm(scores, rule, best_arm=picked, **options)
    return replace(gain, chosen=ON_THIS_DATA)


def policy(setting: Setting, policies: Policies) -> Part:
    """Return the rate of the good outcome under each policy, the gains, and who is sent where."""
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
    rows += [
        row_of("policy", "recommended arm", policy_value_aipw(scores, rule, **options)),
        row_of("policy", "recommended arm, weighted estimate", weighted),
        row_of("gain", "gain over the best single arm", policies.gain),
        row_of(
            "gain", "gain over the received arm", gain_over_received(y, received, scores, rule, **options)
        ),
    ]
    naive = concordant_difference(y, received, rule, **options)
    rows += [
        row_of("gain", "gain over arms drawn by lot, same shares", gain_over_random(scores, rule, **options)),
        row_of("naive", "concordant less discordant (biased)", naive.difference),
        row_of("naive", "the same if nobody gained", naive.without_gain),
    ]
    return Part(
        figures=rows,
        tables={"flow": _flow(setting)},
        cautions=_cautions(setting, policies),
    )


def effective_n(setting: Setting, policies: Policies) -> float:
    """Return what the concordant patients are worth, as patients of equal weight."""
    propensity = received_propensity(setting.arms, policies.chances)
    concordant = (policies.recommended == setting.arms).to_numpy()
    return effective_sample_size(1 / propensity[concordant]) if concordant.any() else 0.0


def _flow(setting: Setting) -> pd.DataFrame:
    table = setting.by_arm if setting.good else 1 - setting.by_arm
    recommended = recommended_arms(table, setting.best_arm).value_counts()
    rows = []
    for arm in table.columns:
        mine = setting.y[setting.received == arm]
        counts = {"n": len(mine), "n_observed": int(mine.notna().sum()), "n_events": int(mine.sum())}
        rows.append({"arm": arm, **counts, "n_recommended": int(recommended.get(arm, 0))})
    return pd.DataFrame(rows)


def _cautions(setting: Setting, policies: Policies) -> list[Caution]:
    found = []
    if policies.assignment.startswith("estimated"):
        text = (
            "The probabilities of the received arms were estimated. Policy figures are associations: they "
            "hold only if every reason for choosing an arm is among the covariates"
            + ("; the site is not." if setting.n_sites > 1 else ".")
        )
        found.append(Caution(Gravity.ASSOCIATION, text))
    if policies.unseen:
        lost = [str(arm) for arm in policies.unseen]
        text = f"No outcome was observed under {lost}: policies leave these arms out."
        found.append(Caution(Gravity.PARTIAL, text))
    if policies.n_replaced:
        text = (
            f"{policies.n_replaced} patients are recommended an arm that nobody here received; the policy "
            "figures give them the next best arm instead."
        )
        found.append(Caution(Gravity.PARTIAL, text))
    if 1 < setting.n_sites < MIN_CLUSTERS:
        text = (
            f"There are {setting.n_sites} sites, too few for intervals that allow for differences between "
            "sites: they speak of these sites only."
        )
        found.append(Caution(Gravity.PARTIAL, text))
    if policies.gain.chosen == ON_THIS_DATA:
        text = (
            "No best single arm that anybody here received was named beforehand; it was picked on this very "
            f"cohort (among arms with {FEWEST_EVENTS} events and non-events or more), which is a little too "
            "hard on the recommendations."
        )
        found.append(Caution(Gravity.MILD, text))
    return found


def recommended_arms(table: pd.DataFrame, best_arm: Any) -> pd.Series:
    """Return the arm most likely to do good; ties go to the best single arm, then to the first."""
    values = table.copy()
    if best_arm is not None:
        values[best_arm] += 1e-12
    return values.idxmax(axis=1)


def _chances(
    assignment: str | Mapping[Any, float] | pd.DataFrame,
    received: pd.Series,
    covariates: pd.DataFrame,
    arms: pd.Index,
    random_state: int | None,
) -> tuple[pd.DataFrame, str]:
    """Return the probability of each arm for each patient, and where it comes from, in words."""
    if isinstance(assignment, pd.DataFrame):
        table = check_by_arm("assignment", assignment)
        lacking = [str(arm) for arm in arms if arm not in table.columns]
        if lacking or not received.index.isin(table.index).all():
            raise InputError(f"assignment lacks arms {lacking} or patients; it needs all of both.")
        return _rescaled(table.loc[received.index, list(arms)], received), "known for each patient"
    if isinstance(assignment, Mapping):
        shares = _known_shares(assignment, received, arms)
        return _rescaled(_same_for_all(shares, received), received), "known by design"
    check_choice("assignment", assignment, ["estimated", "randomised"])
    if assignment == "randomised":
        shares = received.value_counts(normalize=True).reindex(arms, fill_value=0.0)
        return _rescaled(_same_for_all(shares, received), received), "randomised, in the shares observed"
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
