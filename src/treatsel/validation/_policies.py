"""Policies to be compared: the recommendations and simpler ones, with doubly robust scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import ROUNDING, count_of
from treatsel._stats.by_arm_tables import completed_shares
from treatsel._stats.estimate import widened
from treatsel.metrics import (
    Gain,
    aipw_scores,
    arm_means,
    gain_over_best_arm,
)
from treatsel.metrics.policy import BEFOREHAND, BEST, OF_FOLDS, ON_THIS_DATA
from treatsel.validation._propensity import propensity_of
from treatsel.validation._task import MIN_EVENTS, ValidationTask

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
    recommended, recommended_all : DataFrame
        Share of each arm in each patient's recommendation (tied arms share a patient); the next best arm
        where no patient received the best. By a rule in use, patients to whom no such arm is recommended keep
        the arm that is given now: their shares are their probabilities of receiving each arm. `recommended`:
        patients with the outcome observed; `recommended_all`: all.
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
        Clusters and level, for metrics, and weights that represent the patients whose outcome was lost: the
        scores of the others are then the sums of Robins, Rotnitzky & Zhao (1994) with the probability of
        the received arm times that of observation, divided by the sum of the weights (Hajek).
    problem : str or None
        Why policies cannot be evaluated in these data; propensity, scores and gain are then NaN.
    others : sequence of Policies
        In cross-validation, the policies from other partitions into folds.
    """

    table: pd.DataFrame
    propensity: pd.DataFrame
    propensity_all: pd.DataFrame
    scores: pd.DataFrame
    recommended: pd.DataFrame
    recommended_all: pd.DataFrame
    comparator: Any
    by_patient: pd.Series | None
    gain: Gain
    assignment: str
    n_replaced: int
    unseen: list[Any]
    options: dict[str, Any]
    problem: str | None = None
    others: Sequence["Policies"] = ()

    def over_partitions(self, estimate: Callable[["Policies"], Any]) -> Any:
        """Return an estimate whose interval includes how it varies between partitions into folds.

        References
        ----------
        Chernozhukov et al. (2018), Econometrics Journal 21(1), C1-C68 (median over partitions, definition
        3.3). doi:10.1111/ectj.12097
        """
        own = estimate(self)
        if not self.others or own.value != own.value:
            return own
        moves = [estimate(each).value - own.value for each in self.others]
        n = 1 + len(moves)
        clusters = self.options["clusters"]
        return widened(
            own,
            float(np.sqrt(np.nansum(np.square(moves)) / n)),
            df=None if clusters is None else len(np.unique(clusters)) - 1,
            method=f"variation between {n} partitions into folds included",
        )

    def best_single_arm(self, rows: Any) -> Any:
        """Return what the gain of some patients (a mask of all) is over: an arm, or an arm by patient."""
        return self.gain.comparator_arm if self.by_patient is None else self.by_patient[rows]


def policies_of(task: ValidationTask, assignment: str | Mapping[Any, float] | pd.DataFrame) -> Policies:
    """Compare the rule in use with simpler policies."""
    received, table = task.received[task.seen], task.good_table
    covariates = task.cohort.X.drop(columns=[str(task.cohort.codebook.arm)])
    if task.allowed is not None:  # an arm is hardly ever given to patients for whom the rules exclude it
        closed = ~task.allowed.loc[:, ~task.allowed.all()]
        covariates = covariates.join(closed.add_prefix("excluded: ").astype(int))
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
    if source.startswith("estimated") and task.allowed is not None:
        every = _where_given(every, task)
    every = every[given].div(every[given].sum(axis=1), axis=0)
    best = _comparator(task, given)
    shares, n_replaced = _shares_among(task, given, every)
    recommended = shares[task.seen]
    options: dict[str, Any] = {"clusters": task.clusters_of_means, "level": task.level, **task.weights()}
    if problem is None:
        scores = aipw_scores(task.good_y, received, table[given], every[task.seen])
        gain = gain_of(task, scores, recommended, best, options)
    else:
        every, scores = every * NAN, table[given] * NAN
        gain = _no_gain(task, problem)
    return Policies(
        table=table[given],
        propensity=every[task.seen],
        propensity_all=every,
        scores=scores,
        recommended=recommended,
        recommended_all=shares,
        comparator=None if isinstance(best, pd.Series) else best,
        by_patient=best if isinstance(best, pd.Series) else None,
        gain=gain,
        assignment=source,
        unseen=[arm for arm in pd.unique(task.received) if arm not in given],
        n_replaced=n_replaced,
        options=options,
        problem=problem,
    )


def _where_given(every: pd.DataFrame, task: ValidationTask) -> pd.DataFrame:
    """Return estimated probabilities that are 0 where the rules exclude an arm, if they were always obeyed.

    A logistic model shrinks its coefficients, and thus leaves some probability to arms that are never given:
    those of the other arms would be too low.
    """
    closed: Any = ~task.allowed.to_numpy() if task.allowed is not None else None
    received = task.received.to_numpy(dtype=object)[:, None] == every.columns.to_numpy(dtype=object)
    return every.mask(closed & ~(closed & received).any(axis=0), 0.0)


def _shares_among(task: ValidationTask, given: list[Any], every: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the shares of the arms received in this cohort, and how many patients want another arm.

    Of patients with the outcome observed.
    """
    wanted = task.recommended
    elsewhere = (wanted.sum(axis=1) > wanted[given].sum(axis=1) + ROUNDING).to_numpy()
    n_replaced = int(elsewhere[task.seen].sum())
    if task.given is None:
        return completed_shares(wanted[given], task.best_among(given))[0], n_replaced
    own = pd.get_dummies(task.received)[given].astype(float)  # where probabilities were not estimated
    return completed_shares(wanted[given], every.fillna(own))[0], n_replaced


def median_of(partitions: Sequence[Policies]) -> tuple[int, Policies]:
    """Return the partition into folds with the median gain, and its policies, which know the others.

    The first, if there is one partition only or the gain is not estimable.
    """
    if len(partitions) == 1 or any(each.problem is not None for each in partitions):
        return 0, partitions[0]
    order = np.argsort([each.gain.value for each in partitions], kind="stable").tolist()
    number = order.pop(len(order) // 2)
    known = replace(partitions[number], others=[partitions[other] for other in order])
    return number, replace(known, gain=known.over_partitions(lambda each: each.gain))


def without_gain(task: ValidationTask, policies: Policies, reason: str) -> Policies:
    """Return policies that are not evaluated, for a reason: no gain is computed from them in any part."""
    nothing = policies.scores * NAN
    return replace(policies, scores=nothing, others=(), gain=_no_gain(task, reason), problem=reason)


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


def gain_of(
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
    fine = scores[enough_events(task, scores.columns) or list(scores.columns)]
    picked = arm_means(fine, **task.weights())["value"].idxmax()
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


def enough_events(task: ValidationTask, arms: pd.Index) -> list[Any]:
    """Return the arms with enough events and non-events to be selected as the best."""
    counts = pd.DataFrame({"event": task.good_y, "other": 1 - task.good_y}).groupby(task.arms).sum()
    return [arm for arm in arms if counts.loc[arm].min() >= MIN_EVENTS]
