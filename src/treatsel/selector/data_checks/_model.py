"""Checks of a fitted model: leakage, worse than its baseline, probabilities of 0 or 1, separated loss."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from treatsel._checks import FloatArray
from treatsel._disclosure import stated
from treatsel._reporting.format import with_p
from treatsel.codebook import follows_outcome
from treatsel.fitted import DataCheck
from treatsel.models import LossTest, Observation

MAX_AUC = 0.85  # well above the AUC that baseline covariates reach for outcomes in mental health care
MAX_EXCESS = 0.02  # log-loss per patient: that of an AUC of about 0.6 is 0.02 below the base rate's
MAX_LOGIT = 20.0  # a probability of 1 in 500 million, which no cohort can support
MAX_LOSS_AUC = 0.95  # discrimination of lost from observed outcomes above which they hardly overlap
LEAST_APART = 0.2  # difference of slopes that matters: the limits of a good calibration slope
SIGNIFICANT = 0.05  # p value below which loss is said to depend on process columns
MIN_LOST = 5  # lost outcomes from which on this AUC is computed


def check_auc(auc: float, outcome: str, *, highest: float = MAX_AUC) -> list[DataCheck]:
    """Report a cross-validated AUC that is too high to come from baseline covariates.

    References
    ----------
    Kapoor & Narayanan (2023), Patterns 4(9), 100804 (leakage). doi:10.1016/j.patter.2023.100804
    """
    if not auc > highest:
        return []
    message = (
        f"Outcome {outcome!r} is predicted with a cross-validated AUC of {auc:.3f}, above {highest}; "
        "baseline covariates rarely reach this value. A covariate may have been recorded after treatment "
        "began, or may be part of the outcome. Check the most important covariates, and drop those that were "
        "not known before treatment."
    )
    return [DataCheck("suspected_leakage", message)]


def check_leaks(covariates: pd.DataFrame, y: pd.Series) -> list[DataCheck]:
    """Report covariates that follow an outcome (0, 1 or NaN) so closely that they may be part of it."""
    names = [name for name in covariates if follows_outcome(covariates[name], y)]
    if not names:
        return []
    message = (
        f"Covariates that predict outcome {y.name!r} almost perfectly, or are missing where it is: {names}. "
        "Drop what was recorded after treatment began, or is part of the outcome."
    )
    return [DataCheck("suspected_leakage", message)]


def check_loss(
    excess: dict[str, tuple[float, float]], outcome: str, *, largest: float = MAX_EXCESS
) -> list[DataCheck]:
    """Report a model that predicts worse than a comparator, on cross-fitted predictions.

    `excess` holds the mean difference in log-loss from each comparator, and its standard error. A difference
    counts if it exceeds `largest`, or two standard errors and a quarter of `largest`.
    """
    worse = {
        name: value
        for name, (value, se) in excess.items()
        if value > largest or (value > 2 * se and value > largest / 4)
    }
    if not worse:
        return []
    found = " and ".join(f"{value:.3f} above that of {name}" for name, value in worse.items())
    message = (
        f"The cross-fitted log-loss of the model of {outcome!r} is {found}. Do not use this model: merge "
        "small arms, leave out covariates that carry no information, or compare other estimators."
    )
    return [DataCheck("worse_than_baseline", message)]


def check_extreme(logits: FloatArray, outcome: str, *, largest: float = MAX_LOGIT) -> list[DataCheck]:
    """Report predicted probabilities that are practically 0 or 1; `logits` of shape (n_patients, n_arms)."""
    n = int((np.abs(logits) > largest).any(axis=1).sum())
    if not n:
        return []
    message = (
        f"The model of {outcome!r} predicts probabilities that are practically 0 or 1 for "
        f"{stated(n, 'patient')}: some covariates separate the outcomes. Check whether a covariate was "
        "recorded after treatment began, or holds values of very different size."
    )
    return [DataCheck("extreme_predictions", message)]


def check_priors(conflict: str | None, outcome: str) -> list[DataCheck]:
    """Report published estimates that the patients contradict."""
    return [] if conflict is None else [DataCheck("prior_conflict", f"Outcome {outcome!r}: {conflict}")]


def check_proportional(slopes: dict[str, tuple[float, float]], outcome: str) -> list[DataCheck]:
    """Report a score whose thresholds do not share their slope, as a cumulative logit model assumes.

    `slopes`: slope and standard error at the "target", and at a "worse" and a "better" threshold. A
    difference counts if it is above 0.2 and three standard errors; their correlation is ignored, which is
    conservative.

    References
    ----------
    Brant (1990), Biometrics 46(4), 1171-1178. doi:10.2307/2532457
    """
    if not slopes:
        return []
    slope, se = slopes["target"]
    apart = [
        f"{value:.2f} at a {name} one"
        for name, (value, other) in slopes.items()
        if abs(value - slope) > max(LEAST_APART, 3 * float(np.hypot(se, other)))
    ]
    if not apart:
        return []
    message = (
        f"The score behind {outcome!r} is not proportional: the cross-fitted slope is {slope:.2f} at the "
        f"threshold of the outcome and {' and '.join(apart)}. The model assumes one slope. Compare it with a "
        "model of the 0/1 outcome: leave score and definition out of the codebook."
    )
    return [DataCheck("score_not_proportional", message)]


def check_process(loss: LossTest | None, outcome: str, *, used: bool) -> list[DataCheck]:
    """Report outcomes whose loss depends on process columns, given arm and covariates (p < .05).

    `used`: whether the model and its weights use these columns.
    """
    if loss is None or not loss.p_value < SIGNIFICANT:
        return []
    names = ", ".join(map(repr, loss.columns))
    remedy = (
        "The model and its weights use these columns."
        if used
        else 'The model ignores these columns: leave missing="covariates" out.'
    )
    message = (
        f"Outcome {outcome!r} is hardly missing at random given arm and covariates alone: whether it was "
        f"observed depends on {names} (likelihood ratio {loss.statistic:.1f}, {loss.df} df, "
        f"{with_p(loss.p_value)}). {remedy}"
    )
    return [DataCheck("loss_depends_on_process", message)]


def check_shift(added: pd.DataFrame | None, outcome: str, assumed: str) -> list[DataCheck]:
    """State the assumption about lost outcomes under which a model was fitted.

    `added`: what it adds to each probability, by arm; None without such an assumption. `assumed`: in words,
    such as "worse by 1 logit".
    """
    if added is None:
        return []
    moved = sorted(100 * added.mean(), key=abs)
    message = (
        f"Outcome {outcome!r}: by assumption, patients in whom it was lost fare {assumed} than others with "
        f"the same covariates and arm. This adds {moved[0]:+.1f} to {moved[-1]:+.1f} percentage points to "
        "mean probabilities by arm. Measures of performance refer to observed outcomes."
    )
    return [DataCheck("lost_outcomes_shifted", message)]


def check_observation(observation: Observation | None, outcome: str) -> list[DataCheck]:
    """Report outcomes whose loss is (almost) determined by the covariates: weights cannot represent them.

    References
    ----------
    Petersen et al. (2012), Statistical Methods in Medical Research 21(1), 31-54.
    doi:10.1177/0962280210386207 (violations of positivity)
    """
    if observation is None or observation.probability is None or observation.weights is None:
        return []
    seen = observation.weights.to_numpy() > 0
    n = int((~seen).sum())
    if n < MIN_LOST or seen.sum() < MIN_LOST:
        return []
    auc = float(roc_auc_score(seen, observation.probability.to_numpy()))
    if not auc > MAX_LOSS_AUC:
        return []
    message = (
        f"Covariates almost determine for which patients {outcome!r} was not observed (cross-validated AUC "
        f"{auc:.2f}). Few observed patients resemble the lost ones, so that weights cannot represent them. "
        "Check whether these covariates, or their missing values, were recorded with the outcome."
    )
    return [DataCheck("separated_loss", message)]
