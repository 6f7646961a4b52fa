"""Outcomes that were lost: how likely each was to be observed, and what that depends on."""

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from treatsel._checks import FloatArray
from treatsel._disclosure import is_small
from treatsel._stats.folds import balanced_folds
from treatsel._stats.logistic import maximize
from treatsel._stats.logits import NEAREST
from treatsel.additive import Encoding
from treatsel.cohort import Cohort
from treatsel.models import LossTest, Observation, loss_test, observation_weights

# Larger cohorts are sampled: of so many patients, a third lost, the test finds an odds ratio of 1.1 of
# a column that half of them have with a power of 89 %, in a second.
MAX_TESTED = 20_000


def process_of(cohort: Cohort, outcome: str) -> pd.DataFrame:
    """Return the columns observed after the start: process columns, and other outcomes known of everyone."""
    others = cohort.frame[[name for name in cohort.codebook.outcomes if name != outcome]]
    found = cohort.process.join(others.loc[:, others.notna().all()])
    return found.loc[:, found.notna().any()]


def observation_of(
    cohort: Cohort, received: pd.Series, process: pd.DataFrame, seen: np.ndarray, seed: int
) -> Observation | None:
    """Return the probability that each outcome was observed, given arm, covariates and process columns.

    None if no outcome was lost, or a handful.
    """
    if seen.all() or is_small((~seen).sum()):
        return None
    covariates = _covariates(cohort).join(process).dropna(axis=1, how="all")
    return observation_weights(covariates, received, seen, _folds(cohort, received, seen, seed))


def dependence_on_process(
    cohort: Cohort, received: pd.Series, process: pd.DataFrame, seen: np.ndarray, seed: int
) -> LossTest | None:
    """Return the test of whether observation depends on process columns, given arm and covariates.

    None if no outcome was lost, or a handful, or there is no process column that varies.
    """
    if seen.all() or is_small((~seen).sum()):
        return None
    if len(seen) > MAX_TESTED:
        rows = np.sort(np.random.default_rng(seed).choice(len(seen), MAX_TESTED, replace=False))
        cohort, received, process, seen = (
            cohort.take(rows),
            received.iloc[rows],
            process.iloc[rows],
            seen[rows],
        )
    columns = process.loc[:, [len(process[name].drop_duplicates()) > 1 for name in process]]
    if seen.all() or not seen.any() or not columns.shape[1]:
        return None
    folds = _folds(cohort, received, seen, seed)
    return loss_test(_covariates(cohort).dropna(axis=1, how="all"), received, seen, columns, folds)


def _covariates(cohort: Cohort) -> pd.DataFrame:
    return cohort.X.drop(columns=list(cohort.codebook.names("arm")))


def _folds(
    cohort: Cohort, received: pd.Series, seen: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(balanced_folds(received, seen.astype(float), groups=cohort.groups, random_state=seed))


def expected_of(
    by_arm: pd.DataFrame, received: pd.Series, process: pd.DataFrame, y: FloatArray
) -> pd.DataFrame:
    """Return the probability of the outcome of observed patients under each arm, given process columns too.

    A logistic regression of the observed outcomes on the logit of the prediction for the received arm, the
    arm and the process columns: predictions are averages over dropout, and lost patients mostly dropped out.
    The predictions themselves, if the regression has no maximum.
    """
    seen, arms = ~np.isnan(y), list(by_arm.columns)
    ones = np.ones(len(y))
    after = Encoding.of_cohort(process, ones, native_missing=False).encode(process)
    logits = logit(np.clip(by_arm.to_numpy(dtype=float), NEAREST, 1 - NEAREST))

    def design(codes: np.ndarray) -> FloatArray:
        own = logits[np.arange(len(codes)), codes]
        return np.column_stack([np.eye(len(arms))[codes], own, after])

    fit = maximize(design(pd.Index(arms).get_indexer(pd.Index(received)))[seen], y[seen], ones[seen])
    if not fit.exists:
        return by_arm
    under = [expit(fit.linear(design(np.full(len(y), code)))) for code in range(len(arms))]
    return pd.DataFrame(np.column_stack(under), index=by_arm.index, columns=arms)
