"""Coverage of the default model's intervals, and the share of patients with status "clear_gain".

    python -m benchmarks.coverage [--seeds 10]

Simulated trials with three arms and a true logistic model. Prints, per scenario, the coverage of 95%
intervals, for each arm's probability and for the difference between the top arm and each other arm, and
the share of patients with a clear gain over the default arm.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

import treatsel as ts

ARMS = ["a", "b", "c"]
N_NEW = 300


@dataclass(frozen=True)
class Scenario:
    """A trial: patients, covariates, SD of the arms' effects and slope of the effect modification."""

    name: str
    n: int
    n_covariates: int
    arm_effect: float
    modifier: float


SCENARIOS = [
    Scenario("null", 600, 6, 0.0, 0.0),
    Scenario("null, larger", 2000, 6, 0.0, 0.0),
    Scenario("arm effects", 1000, 6, 0.4, 0.0),
    Scenario("arm effects, many covariates", 600, 20, 0.4, 0.0),
    Scenario("modifier", 1500, 6, 0.0, 0.3),
    Scenario("strong modifier", 4000, 6, 0.0, 1.0),
]


def simulate(scenario: Scenario, seed: int) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame, np.ndarray]:
    """Return X, y of a trial, and X and the true by-arm probabilities of new patients."""
    rng = np.random.default_rng(seed)
    n = scenario.n + N_NEW
    x = rng.normal(size=(n, scenario.n_covariates))
    sign = np.array([-1.0, 0.0, 1.0])
    logit = (
        0.4 * x[:, [0]] - 0.3 * x[:, [1]] + scenario.arm_effect * sign + scenario.modifier * sign * x[:, [2]]
    )
    truth = expit(logit)
    arm = rng.integers(0, 3, n)
    y = pd.Series((rng.random(n) < truth[np.arange(n), arm]).astype(float), name="remission")
    X = pd.DataFrame(x, columns=[f"x{j}" for j in range(scenario.n_covariates)])
    X["arm"] = np.array(ARMS)[arm]
    return X[: scenario.n], y[: scenario.n], X[scenario.n :], truth[scenario.n :]


def measure(scenario: Scenario, seed: int) -> tuple[float, float, float]:
    """Return coverage of arms, coverage of contrasts, and the share with a clear gain, for one fit."""
    X, y, new, truth = simulate(scenario, seed)
    selector = ts.TreatmentSelector(random_state=0).fit(X, y)
    lower, upper = selector.predict(new).interval()
    arms = ((lower <= truth) & (truth <= upper)).to_numpy().mean()
    draws = selector.predict_draws(new)
    top = selector.predict_by_arm(new).to_numpy().argmax(axis=1)
    rows, others = np.arange(N_NEW), ~np.eye(3, dtype=bool)[top]
    lead = (draws[:, rows, top][:, :, None] - draws)[:, others]
    true_lead = (truth[rows, top][:, None] - truth)[others]
    low, high = np.quantile(lead, [0.025, 0.975], axis=0)
    contrasts = ((low <= true_lead) & (true_lead <= high)).mean()
    clear = (selector.recommend(new).to_frame()["status"] == "clear_gain").mean()
    return float(arms), float(contrasts), float(clear)


def main() -> None:
    """Print one row per scenario."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    print("| scenario | n | covariates | arms covered | contrasts covered | clear gain |")
    print("|---|---|---|---|---|---|")
    for scenario in SCENARIOS:
        mean = np.mean([measure(scenario, seed) for seed in seeds], axis=0)
        cells = " | ".join(f"{value:.3f}" for value in mean)
        print(f"| {scenario.name} | {scenario.n} | {scenario.n_covariates} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
