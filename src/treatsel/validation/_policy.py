"""What would have happened under other ways to choose arms, from doubly robust scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_by_arm, check_choice
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.metrics import (
    Estimate,
    Gain,
    aipw_scores,
    arm_means,
    effective_sample_size,
    enough_clusters,
    gain_over_best_arm,
    gain_over_received,
    policy_value,
    policy_value_aipw,
    received_propensity,
)
from treatsel.models import assignment_probabilities, balanced_folds


@dataclass(frozen=True, kw_only=True)
class Policies:
    """Values of the policies compared, all as rates of the good outcome.

    `arms`: one row per single arm for everybody; `rule`, `rule_ipw`: everybody gets the recommended arm,
    by doubly robust and by weighted estimate (from so many effective patients). `n_replaced`: patients whose
    recommended arm nobody received, so that the next best one is evaluated.
    """

    gain: Gain
    gain_over_practice: Gain
    arms: pd.DataFrame
    rule: Estimate
    rule_ipw: Estimate
    effective_n: float
    assignment: str
    n_replaced: int
    n_sites: int


def evaluate_policies(
    cohort: Cohort,
    y: pd.Series,
    by_arm: pd.DataFrame,
    *,
    good: bool,
    best_arm: Any,
    assignment: str | Mapping[Any, float] | pd.DataFrame,
    level: float,
    random_state: int | None,
) -> Policies:
    """Evaluate the rule "highest predicted probability of the good outcome" against simpler ones."""
    rows = y.index
    received = cohort.received.loc[rows]
    outcome, table = (y, by_arm) if good else (1 - y, 1 - by_arm)
    covariates = cohort.X.loc[rows].drop(columns=[str(cohort.codebook.arm)])
    chances, source = _chances(assignment, received, covariates, outcome, table.columns, random_state)
    recommended = recommended_arms(table, best_arm)
    sites = _sites(cohort, rows)
    given = [arm for arm in table.columns if (received == arm).any()]
    if len(given) < 2:
        raise InputError(f"Every patient received {given[0]!r}. Policies need patients of two arms or more.")
    scores = aipw_scores(outcome, received, table[given], chances[given])
    possible = recommended.where(recommended.isin(given), table[given].idxmax(axis=1))
    propensity = received_propensity(received, chances[given])
    concordant = (possible == received).to_numpy()
    best = best_arm if best_arm in given else None
    options: dict[str, Any] = {"groups": enough_clusters(sites), "level": level}
    return Policies(
        gain=gain_over_best_arm(scores, possible, best_arm=best, **options),
        gain_over_practice=gain_over_received(outcome, received, scores, possible, **options),
        arms=arm_means(scores, **options),
        rule=policy_value_aipw(scores, possible, **options),
        rule_ipw=policy_value(outcome, received, possible, propensity=propensity, **options),
        effective_n=effective_sample_size(1 / propensity[concordant]) if concordant.any() else 0.0,
        assignment=source,
        n_replaced=int((possible != recommended).sum()),
        n_sites=0 if sites is None else sites.nunique(),
    )


def _sites(cohort: Cohort, rows: pd.Index) -> pd.Series | None:
    """Return the site of each patient, with "not stated" as a site of its own."""
    return None if cohort.groups is None else cohort.groups.loc[rows].fillna("not stated")


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
    outcome: pd.Series,
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
        for arm in received.unique():
            check_choice("An arm of the cohort", arm, assignment)
        for arm in assignment:
            check_choice("An arm of the assignment", arm, list(arms))
        if abs(sum(assignment.values()) - 1) > 1e-6 or min(assignment.values()) < 0:
            raise InputError("The probabilities of the arms must be 0 or more and add up to 1.")
        shares = pd.Series({arm: float(assignment.get(arm, 0.0)) for arm in arms})
        return _rescaled(_same_for_all(shares, received), received), "known by design"
    check_choice("assignment", assignment, ["estimated", "randomised"])
    if assignment == "randomised":
        shares = received.value_counts(normalize=True).reindex(arms, fill_value=0.0)
        return _rescaled(_same_for_all(shares, received), received), "randomised, in the shares observed"
    folds = balanced_folds(received, outcome.to_numpy(), random_state=random_state)
    table = assignment_probabilities(covariates, received, folds).reindex(columns=arms, fill_value=0.0)
    return table, "estimated from the covariates"


def _same_for_all(shares: pd.Series, received: pd.Series) -> pd.DataFrame:
    values = np.tile(shares.to_numpy(dtype=float), (len(received), 1))
    return pd.DataFrame(values, index=received.index, columns=shares.index)


def _rescaled(table: pd.DataFrame, received: pd.Series) -> pd.DataFrame:
    """Return rows that add up to 1 over the arms given in this cohort."""
    given = table.columns.isin(received.unique())
    total = table.loc[:, given].sum(axis=1)
    return table.mul(given, axis=1).div(total, axis=0)
