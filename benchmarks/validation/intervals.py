"""Coverage of the prediction interval of pooled estimates, and of the intervals of the ICI.

    python -m benchmarks.validation.intervals pooling|patients|ici [--times 2000] [--patients 300]

Prints one row per setting, with known truth. Nominal: 95%.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri

from treatsel.metrics import integrated_calibration_index, roc_auc
from treatsel.metrics.pooling import _prediction, random_effects_meta_analysis

SITES = (5, 6, 10, 20)
I2 = (0.1, 0.3, 0.6)
MEAN = float(logit(0.7))  # of the logit AUC
SMALLEST, LARGEST = 60, 800  # patients of a site, log-uniform
DRAWS = 5_000  # instead of 25,000, for speed: coverage is the same


def half_normal(y: np.ndarray, v: np.ndarray, scale: float, level: float = 0.95) -> tuple[float, float]:
    """Return the prediction interval with a half-normal prior of tau and a flat prior of the mean."""
    tau2 = np.linspace(0, 4 * scale, 80)[:, None] ** 2
    weight = 1 / (v + tau2)
    total = weight.sum(axis=1)
    mean = weight @ y / total
    fit = (weight * (y - mean[:, None]) ** 2).sum(axis=1)
    log_density = 0.5 * (np.log(weight).sum(axis=1) - np.log(total) - fit - tau2[:, 0] / scale**2)
    share = np.exp(log_density - log_density.max())
    share, spread = share / share.sum(), np.sqrt(tau2[:, 0] + 1 / total)
    low, high = (mean - 8 * spread).min(), (mean + 8 * spread).max()

    def quantile(at: float) -> float:
        return float(brentq(lambda x: share @ ndtr((x - mean) / spread) - at, low, high))

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def normal_sites(rng: np.random.Generator, k: int, i2: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return estimates of the logit AUC, their standard errors, the mean and the value of a new site."""
    n = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), k))
    tau = spread_of(i2)
    se = 2.5 / np.sqrt(n)  # of a logit AUC of .7 with 40 % events
    return rng.normal(rng.normal(MEAN, tau, k), se), se, MEAN, rng.normal(MEAN, tau)


def simulated_sites(
    rng: np.random.Generator, k: int, i2: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return the same from simulated patients, with the binormal model and the DeLong standard error."""
    tau, values, errors = spread_of(i2), [], []
    for n in np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), k)).astype(int):
        distance = np.sqrt(2) * ndtri(expit(rng.normal(MEAN, tau)))
        y = rng.binomial(1, 0.4, n)
        found = roc_auc(y, expit(rng.normal(distance * y, 1)), interval="logit")
        values.append(logit(found.value))
        errors.append(found.se)
    return np.array(values), np.array(errors), MEAN, rng.normal(MEAN, tau)


def spread_of(i2: float) -> float:
    """Return tau that gives this I2 at sites of these sizes (typical variance of Higgins & Thompson 2002)."""
    n = np.exp(np.linspace(np.log(SMALLEST), np.log(LARGEST), 200))
    weight, k = n / 2.5**2, len(n)
    typical = (k - 1) * weight.sum() / (weight.sum() ** 2 - weight @ weight)
    return float(np.sqrt(i2 / (1 - i2) * typical))


def of_pooling(times: int, *, patients: bool) -> Iterator[str]:
    """Give coverage and mean width of each prediction interval, and coverage of the mean."""
    make = simulated_sites if patients else normal_sites
    _prediction.N_DRAWS = DRAWS
    kinds = ("k-2", "k-1", "bootstrap", "half-normal 0.5", "half-normal 0.2")
    yield "| sites | I2 | mean | " + " | ".join(kinds) + " |\n" + "|---" * (3 + len(kinds)) + "|"
    for k in SITES if not patients else SITES[1:]:
        for i2 in I2 if not patients else I2[:2]:
            rng, inside, width = np.random.default_rng(k), dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
            covered = 0
            for _ in range(times):
                y, se, mean, new = make(rng, k, i2)
                for kind in kinds:
                    if kind.startswith("half"):
                        low, high = half_normal(y, se**2, float(kind.split()[1]))
                    else:
                        found = random_effects_meta_analysis(y, se, prediction=kind)
                        low, high = found.prediction_lower, found.prediction_upper
                    inside[kind] += low <= new <= high
                    width[kind] += (high - low) / times
                covered += found.lower <= mean <= found.upper
            cells = [f"{inside[kind] / times:.3f} ({width[kind]:.2f})" for kind in kinds]
            yield f"| {k} | {i2:.0%} | {covered / times:.3f} | " + " | ".join(cells) + " |"


X_RANGE = 200_000  # patients from whose predictions the true errors are computed
RESAMPLES = 100  # instead of 200, for speed
ERRORS = ("ici", "e50", "e90", "emax")


def wave(x: np.ndarray) -> np.ndarray:
    """Return true probabilities that cross the predictions three times."""
    return np.clip(expit(x) + 0.12 * np.sin(2.5 * x), 0.01, 0.99)


TRUTHS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "calibrated": expit,
    "level +0.15": lambda x: expit(x + 0.15),
    "level +0.3": lambda x: expit(x + 0.3),
    "level +0.6": lambda x: expit(x + 0.6),
    "slope 0.5": lambda x: expit(0.5 * x),
    "wave": wave,
}


def errors_of(distance: np.ndarray) -> np.ndarray:
    """Return ICI, E50, E90 and Emax; of Emax the 99.9 % quantile, as the range grows with n."""
    return np.array([distance.mean(), *np.quantile(distance, [0.5, 0.9, 0.999])])


def of_ici(times: int, n: int, kinds: list[str]) -> Iterator[str]:
    """Give coverage, and how often the lower limit of the ICI is 0 and its upper limit below the estimate."""
    heads = [f"{kind}: {error}" for kind in kinds for error in ERRORS]
    heads += [f"{kind}: {what}" for kind in kinds for what in ("lower limit 0", "upper < ICI", "mean limits")]
    yield f"| truth, n = {n} | ICI | " + " | ".join(heads) + " |\n" + "|---" * (2 + len(heads)) + "|"
    for number, (name, truth) in enumerate(TRUTHS.items()):
        rng = np.random.default_rng(number)
        many = rng.normal(size=X_RANGE)
        true = errors_of(np.abs(truth(many) - expit(many)))
        inside, limits = np.zeros((len(kinds), len(ERRORS))), np.zeros((len(kinds), 2))
        ends = np.zeros((len(kinds), 2))
        for seed in range(times):
            x = rng.normal(size=n)
            y = rng.binomial(1, truth(x))
            for place, kind in enumerate(kinds):
                found = integrated_calibration_index(
                    y, expit(x), interval=kind, n_resamples=RESAMPLES, n_simulations=0, random_state=seed
                ).table.loc[list(ERRORS)]
                value, lower, upper = (found[name].to_numpy() for name in ("value", "lower", "upper"))
                inside[place] += (lower <= true + 1e-12) & (true <= upper)
                limits[place] += [lower[0], upper[0]]
                ends[place] += [lower[0] == 0, upper[0] < value[0]]
        cells = [f"{share:.3f}" for share in (inside / times).ravel()]
        for (zero, above), (low, high) in zip(ends / times, limits / times, strict=True):
            cells += [f"{zero:.3f}", f"{above:.3f}", f"{low:.3f} to {high:.3f}"]
        yield f"| {name} | {true[0]:.3f} | " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["pooling", "patients", "ici"])
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--kinds", nargs="+", default=["inversion", "percentile"])
    given = parser.parse_args(arguments)
    if given.what == "ici":
        lines = of_ici(given.times, given.patients, given.kinds)
    else:
        lines = of_pooling(given.times, patients=given.what == "patients")
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
