"""The gain over the truly best arm: coverage of its interval, false claims, and bias of its two estimates.

    python -m benchmarks.validation.headline [--times 2000] [--sites] [--only K N] [--scenario NAME]

Simulated trials with two or six arms of equal size and doubly robust scores with known propensities, whose
outcome model is too low by a tenth. Every patient is of the type of one arm, which is the recommended one,
and does better under this arm by a benefit. The benefit is chosen so that the gain of the recommendations
over the truly best arm is 0, .01, .03 or .10; arms are equally good for all in the scenarios null and weak,
and differ by up to 5 and 10 percentage points in the others, also in one without a gain. With `--sites`,
patients are of nine sites, between which the rates of all arms and the benefit vary with standard deviations
of 5, 3 and 3 percentage points; intervals are then robust by site.

Columns, in percentage points where not a share: true gain; `covered`, share of selection-adjusted 95%
intervals that contain it; `claimed`, share whose lower limit exceeds 0; mean width; bias of the smallest and
of the cross-fitted gain, each followed by the means of the bias that is simulated in each trial for arms as
estimated and for equal arms; mean smallest detectable gain. `error`: Monte Carlo standard error of the bias
of the smallest gain.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from treatsel.metrics.policy import CROSS_FITTED, SMALLEST, _selection, best_arm_gain

SCENARIOS = {  # gain, and by how much the arms differ
    "null": (0.0, 0.0),
    "null, arms differ": (0.0, 0.10),
    "weak": (0.01, 0.0),
    "realistic": (0.03, 0.05),
    "strong": (0.10, 0.10),
}
SITES = 9
DRAWS = 100  # per trial: only their mean over the trials is shown


@dataclass(frozen=True)
class Trial:
    """Scores, recommended arms and sites."""

    scores: pd.DataFrame
    recommended: np.ndarray
    site: np.ndarray


def draw(rng: np.random.Generator, k: int, n: int, gain: float, spread: float, *, sites: int = 0) -> Trial:
    """Return a trial of k arms whose recommendations have this gain over the best arm."""
    level = np.linspace(0, -spread, k)
    benefit = (gain - level.mean()) / (1 - 1 / k)
    site = rng.integers(0, max(sites, 1), n)
    varies = rng.normal(size=(max(sites, 1), k + 2)) * bool(sites)
    own, x = rng.integers(0, k, n), rng.choice([-0.1, 0.1], n)
    truth = 0.4 + x[:, None] + level + (0.05 * varies[site, :1] + 0.03 * varies[site, 2:])
    rows = np.arange(n)
    truth[rows, own] += benefit + 0.03 * varies[site, 1]
    arm = rng.integers(0, k, n)
    y = rng.random(n) < truth[rows, arm]
    scores = 0.9 * truth
    scores[rows, arm] += (y - scores[rows, arm]) * k
    names = [f"arm {number}" for number in range(k)]
    return Trial(pd.DataFrame(scores, columns=names), np.array(names)[own], site)


def repeated(
    k: int,
    n: int,
    gain: float,
    spread: float,
    *,
    times: int,
    sites: int = 0,
    draws: int = DRAWS,
    seed: int = 1,
) -> pd.DataFrame:
    """Return interval, estimates and simulated biases of each trial."""
    rng, rows = np.random.default_rng(1), []
    before, _selection.N_SIMULATIONS = _selection.N_SIMULATIONS, draws
    try:
        for number in range(times):
            trial = draw(rng, k, n, gain, spread, sites=sites)
            clusters = trial.site if sites else None
            found = best_arm_gain(
                trial.scores, trial.recommended, clusters=clusters, random_state=1000 + number
            )
            bias = found.bias.set_index(["figure", "arms_are"])["bias"]
            rows.append(
                {
                    "lower": found.interval.lower,
                    "upper": found.interval.upper,
                    "smallest": found.interval.value,
                    "cross-fitted": found.cross_fitted.value,
                    "smallest, as estimated": bias[SMALLEST, "estimated"],
                    "smallest, equal": bias[SMALLEST, "equal"],
                    "cross-fitted, as estimated": bias[CROSS_FITTED, "estimated"],
                    "cross-fitted, equal": bias[CROSS_FITTED, "equal"],
                    "detectable": found.detectable,
                }
            )
    finally:
        _selection.N_SIMULATIONS = before
    return pd.DataFrame(rows)


def summary(trials: pd.DataFrame, gain: float) -> dict[str, float]:
    """Return one row of the table."""
    means = 100 * trials.mean()
    return {
        "gain": 100 * gain,
        "covered": float(((trials["lower"] <= gain) & (gain <= trials["upper"])).mean()),
        "claimed": float((trials["lower"] > 0).mean()),
        "width": means["upper"] - means["lower"],
        "smallest": means["smallest"] - 100 * gain,
        "as estimated": means["smallest, as estimated"],
        "equal": means["smallest, equal"],
        "cross-fitted": means["cross-fitted"] - 100 * gain,
        "cf as estimated": means["cross-fitted, as estimated"],
        "cf equal": means["cross-fitted, equal"],
        "detectable": means["detectable"],
        "error": 100 * float(trials["smallest"].std()) / len(trials) ** 0.5,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--sites", action="store_true")
    parser.add_argument("--only", type=int, nargs=2, metavar=("K", "N"))
    parser.add_argument("--scenario", choices=SCENARIOS)
    args = parser.parse_args()
    started, sites = time.perf_counter(), SITES if args.sites else 0
    rows = {}
    for k, n in [args.only] if args.only else [(2, 300), (2, 1000), (6, 300), (6, 1000)]:
        for name in [args.scenario] if args.scenario else SCENARIOS:
            gain, spread = SCENARIOS[name]
            trials = repeated(k, n, gain, spread, times=args.times, sites=sites)
            rows[f"{k} arms, n = {n}, {name}"] = summary(trials, gain)
    print(pd.DataFrame.from_dict(rows, orient="index").round(3).to_string())
    print(f"{args.times} trials a row, {sites or 'no'} sites, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
