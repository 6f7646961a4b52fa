"""Scores of a by-arm table for new patients, against the truth."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.selection.process import Sample
from treatsel import recommend

SURE = 1e-4  # probabilities are clipped at this distance from 0 and 1 before the logit
NO_SCORE = float("nan")
SCORES = (
    "value",
    "gain",
    "oracle_gain",
    "fraction",
    "promised_minus_delivered",
    "rmse",
    "rmse_worst_arm",
    "pehe",
    "slope",
    "arm_coverage",
    "arm_width",
    "contrast_coverage",
    "contrast_width",
    "clear_gain",
    "fit_seconds",
    "predict_seconds",
    "peak_mb",
)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A method's predictions for the test patients.

    Attributes
    ----------
    by_arm : DataFrame of shape (n_patients, n_arms)
        Probabilities, or (where `effects_only`) differences from one of the arms.
    draws : ndarray of shape (n_draws, n_first, n_arms) or None
        Draws of the probabilities for the first `n_first` test patients.
    fit_seconds, predict_seconds, peak_mb : float
        Time of fitting and of predicting all test patients; memory in addition to that used before.
    """

    by_arm: pd.DataFrame
    fit_seconds: float
    predict_seconds: float
    peak_mb: float
    draws: np.ndarray | None = None
    effects_only: bool = False


def score(prediction: Prediction, test: Sample) -> dict[str, Any]:
    """Return all scores by name; NaN where a method does not give what a score needs."""
    by_arm = prediction.by_arm[list(test.truth.columns)]
    predicted, truth = by_arm.to_numpy(), test.truth.to_numpy()
    probability = not prediction.effects_only
    return {
        **policy_scores(predicted, truth, test.oracle),
        "rmse": root_mean_square(predicted - truth) if probability else NO_SCORE,
        "rmse_worst_arm": worst_arm(predicted, truth) if probability else NO_SCORE,
        "pehe": root_mean_square(contrasts(predicted) - contrasts(truth)),
        "slope": calibration_slope(predicted, truth) if probability else NO_SCORE,
        **interval_scores(by_arm, prediction.draws, truth),
        "fit_seconds": prediction.fit_seconds,
        "predict_seconds": prediction.predict_seconds,
        "peak_mb": prediction.peak_mb,
    }


def policy_scores(predicted: np.ndarray, truth: np.ndarray, oracle: np.ndarray) -> dict[str, float]:
    """Return the true value of the recommendations, and the value that the model predicted.

    The best single arm is the one with the highest mean true probability in the test patients. The gain
    is over this arm; the promised gain is that predicted by the model, over the arm it predicts to be best.
    """
    rows = np.arange(len(truth))
    value = truth[rows, predicted.argmax(axis=1)].mean()
    best_single, best = truth.mean(axis=0).max(), truth[rows, oracle].mean()
    gain, oracle_gain = value - best_single, best - best_single
    promised = predicted.max(axis=1).mean() - predicted.mean(axis=0).max()
    return {
        "value": value,
        "gain": gain,
        "oracle_gain": oracle_gain,
        "fraction": gain / oracle_gain if oracle_gain > 0 else NO_SCORE,
        "promised_minus_delivered": promised - gain,
    }


def contrasts(by_arm: np.ndarray) -> np.ndarray:
    """Return the differences of all pairs of arms, over the last axis."""
    first, second = np.array(list(combinations(range(by_arm.shape[-1]), 2))).T
    return by_arm[..., first] - by_arm[..., second]


def root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def worst_arm(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the largest root mean square error of any arm's probability."""
    return float(np.sqrt(((predicted - truth) ** 2).mean(axis=0).max()))


def calibration_slope(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the slope of a logistic regression of the outcome on the predicted logit, all arms together.

    The outcome is the true probability itself, as a fraction: the limit for infinitely many outcomes.
    """
    x = logit(predicted.clip(SURE, 1 - SURE)).ravel()
    design, y = np.column_stack([np.ones_like(x), x]), truth.ravel()
    if np.ptp(x) < 1e-9:
        return NO_SCORE
    beta = np.array([0.0, 0.0])
    for _ in range(100):
        p = expit(design @ beta)
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design, design.T @ (y - p))
        beta += step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[1])


def interval_scores(by_arm: pd.DataFrame, draws: np.ndarray | None, truth: np.ndarray) -> dict[str, float]:
    """Return coverage and mean width of 95 % intervals, and the share of patients with a clear gain."""
    names = ["arm_coverage", "arm_width", "contrast_coverage", "contrast_width", "clear_gain"]
    if draws is None:
        return dict.fromkeys(names, NO_SCORE)
    first = draws.shape[1]
    arms = covered(draws, truth[:first])
    pairs = covered(contrasts(draws), contrasts(truth[:first]))
    found = recommend(by_arm.iloc[:first], draws=draws, default_arm=by_arm.mean().idxmax())
    return dict(
        zip(names, [*arms, *pairs, float((found.columns["status"] == "clear_gain").mean())], strict=True)
    )


def covered(draws: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the share of intervals that contain the truth, and their mean width."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return float(((low <= truth) & (truth <= high)).mean()), float((high - low).mean())


def changed(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Return the share of patients whose recommended arm differs between two by-arm tables."""
    columns = list(first.columns)
    other = second[columns]
    return float((first.to_numpy().argmax(axis=1) != other.to_numpy().argmax(axis=1)).mean())
