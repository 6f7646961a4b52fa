"""Part: the main figures without weights for lost outcomes, and what the loss depends on."""

from typing import Any

import pandas as pd

from treatsel._disclosure import is_small
from treatsel._measures import MEASURES
from treatsel._reporting.format import with_p
from treatsel.metrics import FUNCTIONS, gain_over_best_arm, prevalence, within_arm_auc
from treatsel.models import LossTest
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult

KEYS = ("observed_expected", "calibration_in_the_large", "calibration_slope", "auc", "brier_score")
SMALL_P = 0.05  # below which the caution says that observation depends on process columns


def complete_cases(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the main figures with and without weights, and the test of the loss; nothing without weights."""
    if task.weight is None:
        return PartResult()
    pairs = [_estimates(task, policies, weights) for weights in ({}, task.weights())]
    if (gain := MEASURES["gain"].label) in pairs[1]:
        pairs[1][gain] = policies.gain  # the headline, which may include variation between folds
    rows = [
        {
            "measure": measure,
            **{name: getattr(plain, name) for name in ("value", "lower", "upper")},
            **{f"weighted_{name}": getattr(pairs[1][measure], name) for name in ("value", "lower", "upper")},
            "n": plain.n,
        }
        for measure, plain in pairs[0].items()
    ]
    tables = {"complete cases": pd.DataFrame(rows)}
    if (found := task.loss_test) is not None:
        tables["loss test"] = pd.DataFrame(
            {
                "columns": [", ".join(found.columns)],
                "statistic": [found.statistic],
                "df": [float(found.df)],
                "p_value": [found.p_value],
                "n": [len(task.y)],
                "n_missing": [int((~task.seen).sum())],
            }
        )
    return PartResult(tables=tables)


def _estimates(task: ValidationTask, policies: Policies, weights: dict[str, Any]) -> dict[str, Any]:
    """Return the main estimates by the label of the measure."""
    y, own = task.observed, task.own
    options: dict[str, Any] = {"level": task.level, **weights}
    found: dict[str, Any] = {
        MEASURES["base_rate"].label: prevalence(y, **options),
        **{MEASURES[key].label: FUNCTIONS[key](y, own, **options) for key in KEYS},
        MEASURES["within_arm_auc"].label: within_arm_auc(y, own, task.arms, **options),
    }
    if policies.problem is None and not is_small(policies.gain.n_discordant):
        best = policies.best_single_arm(task.seen)
        options["clusters"] = policies.options["clusters"]
        found[MEASURES["gain"].label] = gain_over_best_arm(
            policies.scores, policies.recommended, comparator=best, **options
        )
    return found


def lost_in_words(task: ValidationTask, n: int) -> str:
    """Return the caution on n lost outcomes: how they are represented, and on which assumption."""
    text = f"The outcome was not observed in {n:,} of {len(task.y):,} patients ({n / len(task.y):.0%})"
    if task.weight is None:
        return text + (
            ", who are left out. This is unbiased only if, given the covariates, they resemble the patients "
            "whose outcome was observed."
        )
    given = " and ".join(
        ["arm", "covariates"] if not len(task.process.columns) else ["arm, covariates", _names(task)]
    )
    text += (
        ". The figures weight the other patients to represent them, which is unbiased only if observation "
        f"depends on {given} alone. Matched pairs, the update of the model, comparisons with "
        f"development and internal-external cross-validation rest on the other patients. {_ratios(task)}"
    )
    return f"{text} {tested_in_words(task.loss_test)}"


def _names(task: ValidationTask) -> str:
    return ", ".join(repr(name) for name in task.process)


def _ratios(task: ValidationTask) -> str:
    ratio = FUNCTIONS["observed_expected"]
    plain, weighted = ratio(task.observed, task.own), ratio(task.observed, task.own, **task.weights())
    return (
        f"Observed / expected is {weighted.value:.2f}; without weights (complete cases) it would be "
        f"{plain.value:.2f}."
    )


def tested_in_words(found: LossTest | None) -> str:
    """Return what the test of the loss says."""
    if found is None:
        return (
            "The codebook names no process column (dropout, attendance): whether patients were lost because "
            "of how they fared in treatment is not known."
        )
    p = f"likelihood ratio, {with_p(found.p_value)}"
    if found.p_value < SMALL_P:
        return (
            f"Given arm and covariates, observation depends on these process columns ({p}): without them, "
            "outcomes would hardly be missing at random. It may depend on the outcome as well."
        )
    return (
        f"There is no evidence that, given arm and covariates, observation depends on these process columns "
        f"({p}). It may depend on the outcome itself."
    )
