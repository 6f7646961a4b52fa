"""Part: base rate and discrimination, overall and by received arm."""

import numpy as np

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._measures import MEASURES
from treatsel._stats.estimate import not_estimable
from treatsel.metrics import balanced_accuracy, prevalence, within_arm_auc
from treatsel.validation._small_groups import is_telling_split
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import (
    MIN_EVENTS,
    Caution,
    PartResult,
    Severity,
    row_of,
    rows_by_arm,
    weighted_row,
)


def discrimination(task: ValidationTask) -> PartResult:
    """Return base rate, accuracy and AUCs."""
    y, own, arms, level = task.observed, task.own, task.arms, task.level
    halves = balanced_accuracy(y, own, clusters=task.clusters, level=level, **task.weights())
    more_frequent = y if np.average(y, weights=task.weight) >= 0.5 else 1 - y
    right, balanced = halves.accuracy, halves.balanced_accuracy
    if is_telling_split(own, y, 0.5):
        why = f"fewer than {SMALLEST_GROUP} patients, or few with one outcome, on one side of 50 %"
        right = balanced = not_estimable(why, n=len(y), n_events=int(y.sum()), level=level)
    rows = [
        weighted_row(
            "base rate", MEASURES["base_rate"].label, prevalence(y, level=level, **task.weights()), task
        ),
        row_of(
            "base rate",
            MEASURES["no_information_rate"].label,
            prevalence(more_frequent, level=level, **task.weights()),
        ),
        row_of("discrimination", MEASURES["accuracy"].label, right),
        row_of("discrimination", MEASURES["balanced_accuracy"].label, balanced),
        weighted_row(
            "discrimination",
            MEASURES["within_arm_auc"].label,
            within_arm_auc(y, own, arms, level=level, **task.weights()),
            task,
        ),
        *rows_by_arm("discrimination", ("auc",), task),
    ]
    return PartResult(figures=rows, cautions=[] if task.one_class else _few_events(y, arms))


def _few_events(y: FloatArray, arms: np.ndarray) -> list[Caution]:
    few = [
        str(arm)
        for arm in sorted(set(arms), key=str)
        if min(y[arms == arm].sum(), (1 - y[arms == arm]).sum()) < MIN_EVENTS
    ]
    if not few:
        return []
    text = f"Arms {few} have fewer than {MIN_EVENTS} events or non-events: their estimates are imprecise."
    return [Caution(Severity.PARTIAL, text)]
