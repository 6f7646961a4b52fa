"""Coverage of the intervals of the validation metrics.

    python -m benchmarks.validation.coverage [--times 1000] [--patients 300]

Simulated patients of three arms with a model that is somewhat too extreme; the truth is the value in two
million patients of the same process. Then policies: how often the interval of the gain excludes 0 if no
patient gains from the rule, and how often it covers the true gain if some patients do. Nominal: 95%.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

from treatsel.metrics.discrimination import (
    average_precision,
    balanced_accuracy,
    model_based_concordance,
    roc_auc,
    within_arm_auc,
)
from treatsel.metrics.overall import brier_score, log_loss, nagelkerke_r2, prevalence, scaled_brier_score
from treatsel.metrics.policy import (
    aipw_scores,
    gain_over_best_arm,
    gain_over_random,
    naive_concordance_contrast,
    policy_value,
    policy_value_aipw,
)
from treatsel.metrics.resampled._percentile import bootstrap

ARMS = np.array(["a", "b", "c"])
SHARES = np.array([0.5, 0.3, 0.2])
SITES = 40
BOOTSTRAPPED = ("auc", "brier_score", "calibration_in_the_large", "calibration_slope")


@dataclass(frozen=True)
class Patients:
    """Outcomes, predictions, arms and sites."""

    y: np.ndarray
    p: np.ndarray
    arm: np.ndarray
    site: np.ndarray


def draw(rng: np.random.Generator, n: int, *, site_spread: float = 0.0) -> Patients:
    """Return patients whose remission depends on x, the arm, and perhaps the site."""
    arm = rng.choice(3, n, p=SHARES)
    site = np.repeat(np.arange(SITES), -(-n // SITES))[:n] if site_spread else np.arange(n)
    shift = site_spread * rng.normal(size=site.max() + 1)[site]
    x = rng.normal(size=n)
    y = rng.binomial(1, expit(-0.4 + 0.8 * x + 0.3 * (arm - 1) + shift))
    return Patients(y=y, p=expit(-0.2 + 1.1 * x + 0.4 * (arm - 1)), arm=ARMS[arm], site=site)


def recalibrated_r2(y: np.ndarray, p: np.ndarray) -> object:
    """Nagelkerke's R2 after recalibration."""
    return nagelkerke_r2(y, p, recalibrated=True)


METRICS: dict[str, Callable[[Patients], object]] = {
    "roc_auc, DeLong": lambda s: roc_auc(s.y, s.p),
    "roc_auc, logit": lambda s: roc_auc(s.y, s.p, interval="logit"),
    "within_arm_auc": lambda s: within_arm_auc(s.y, s.p, s.arm),
    "model_based_concordance": lambda s: model_based_concordance(s.p),
    "average_precision": lambda s: average_precision(s.y, s.p),
    "balanced_accuracy": lambda s: balanced_accuracy(s.y, s.p).balanced_accuracy,
    "prevalence, Wilson": lambda s: prevalence(s.y),
    "brier_score": lambda s: brier_score(s.y, s.p),
    "scaled_brier_score": lambda s: scaled_brier_score(s.y, s.p),
    "log_loss": lambda s: log_loss(s.y, s.p),
    "nagelkerke_r2": lambda s: nagelkerke_r2(s.y, s.p),
    "nagelkerke_r2, recalibrated": lambda s: recalibrated_r2(s.y, s.p),
}
CLUSTERED: dict[str, Callable[[Patients], object]] = {
    "roc_auc, groups": lambda s: roc_auc(s.y, s.p, clusters=s.site),
    "roc_auc, sites ignored": lambda s: roc_auc(s.y, s.p),
    "within_arm_auc, groups": lambda s: within_arm_auc(s.y, s.p, s.arm, clusters=s.site),
    "brier_score, groups": lambda s: brier_score(s.y, s.p, clusters=s.site),
    "brier_score, sites ignored": lambda s: brier_score(s.y, s.p),
}


def covers(estimate: object, truth: float) -> bool:
    """Whether the interval contains the truth."""
    return bool(estimate.lower <= truth <= estimate.upper)


def of_metrics(
    metrics: dict[str, Callable[[Patients], object]], times: int, n: int, *, site_spread: float = 0.0
) -> Iterator[tuple[str, float]]:
    """Give the coverage of each metric."""
    rng = np.random.default_rng(1)
    sample = partial(draw, rng, site_spread=site_spread)
    large = [sample(200_000) for _ in range(10 if not site_spread else 60)]
    truth = {name: np.mean([metric(part).value for part in large]) for name, metric in metrics.items()}
    covered = dict.fromkeys(metrics, 0)
    for _ in range(times):
        patients = sample(n)
        for name, metric in metrics.items():
            covered[name] += covers(metric(patients), truth[name])
    yield from ((name, count / times) for name, count in covered.items())


def of_bootstrap(times: int, n: int) -> Iterator[tuple[str, float]]:
    """Give the coverage of percentile intervals from 200 resamples."""
    rng = np.random.default_rng(2)
    large = draw(rng, 2_000_000)
    truth = bootstrap(large.y, large.p, BOOTSTRAPPED, n_resamples=2).to_frame()["value"]
    covered = pd.Series(0, index=truth.index)
    for seed in range(times):
        patients = draw(rng, n)
        table = bootstrap(patients.y, patients.p, BOOTSTRAPPED, n_resamples=200, random_state=seed).to_frame()
        covered += (table["lower"] <= truth) & (truth <= table["upper"])
    yield from ((f"{name}, bootstrap", count / times) for name, count in covered.items())


def trial(rng: np.random.Generator, n: int, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple]:
    """Return outcomes, arms, recommendations and by-arm tables of a trial with known propensities.

    Arm c helps patients with x > 0, and harms the others, by twice `gain`; the rule recommends a or c.
    """
    x = rng.choice([-1, 1], n)
    arm = rng.choice(3, n, p=SHARES)
    effect = np.outer(2 * gain * x, [0, 0, 1])
    truth = 0.4 + 0.1 * x[:, None] + effect
    y = rng.binomial(1, truth[np.arange(n), arm])
    tables = pd.DataFrame(truth * 0.9, columns=ARMS), pd.DataFrame(np.tile(SHARES, (n, 1)), columns=ARMS)
    return y, ARMS[arm], np.where(x > 0, "c", "a"), tables


def of_policies(times: int, n: int, gain: float) -> Iterator[tuple[str, float]]:
    """Give how often the interval of each gain contains the true one."""
    rng = np.random.default_rng(3)
    covered: dict[str, int] = {}
    for _ in range(times):
        y, arm, rule, (by_arm, propensities) = trial(rng, n, gain)
        scores = aipw_scores(y, arm, by_arm, propensities)
        propensity = propensities.to_numpy()[np.arange(n), np.searchsorted(ARMS, arm)]
        excess = naive_concordance_contrast(y, arm, rule).excess
        found = {
            "gain over arm a": (gain_over_best_arm(scores, rule, comparator="a"), gain),
            "gain over picked arm, pick ignored": (gain_over_best_arm(scores, rule), gain),
            "gain over picked arm, allowed for": (
                gain_over_best_arm(scores, rule, selection="adjusted"),
                gain,
            ),
            "gain over random": (gain_over_random(scores, rule), gain),
            "value, AIPW": (policy_value_aipw(scores, rule), 0.4 + gain),
            "value, Hajek": (policy_value(y, arm, rule, propensity=propensity), 0.4 + gain),
        }
        found |= {} if gain else {"excess of the naive contrast": (excess, 0.0)}
        for name, (estimate, truth) in found.items():
            covered[name] = covered.get(name, 0) + covers(estimate, truth)
    yield from ((name, count / times) for name, count in covered.items())


def main(arguments: list[str] | None = None) -> None:
    """Print one row per interval."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--patients", type=int, default=300)
    given = parser.parse_args(arguments)
    times, n = given.times, given.patients
    print(f"| what ({n} patients, {times} times) | covers |\n|---|---|")
    parts = {
        "": of_metrics(METRICS, times, n),
        f"; {SITES} sites": of_metrics(CLUSTERED, times, 4 * n, site_spread=1.2),
        " of 200": of_bootstrap(times // 2, n),
        "; nobody gains": of_policies(times, n, 0.0),
        "; true gain .05": of_policies(times, n, 0.05),
    }
    for label, part in parts.items():
        for name, share in part:
            print(f"| {name}{label} | {share:.3f} |", flush=True)


if __name__ == "__main__":
    main()
