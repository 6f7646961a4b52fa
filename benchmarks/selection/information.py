"""What known services, process data and published estimates add; write INFORMATION.md.

    python -m benchmarks.selection.information --n 300 1000 --seeds 6      about 5 minutes on two cores

Each part changes the processes of `records.py`. **Services**: 12 services with effects, and effects by arm,
of SD 0.4 logits; the patients of the test sit in the same services. **Lost outcomes**: 40 % drop out, more of
them with a poor prognosis; their logit is lower by 1.2, and 70 % of their outcomes are lost (5 % of the
others'). **Published estimates**: log odds ratios of all arms against the first, with standard errors of 0.15
for each arm, right or off by normal errors with SD 0.5.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.selection.engine import end_score
from benchmarks.selection.process import Process, Sample
from benchmarks.selection.records import RECORDS
from benchmarks.selection.scores import calibration_slope, policy_scores, root_mean_square
from treatsel.models import DropoutMixture, HierarchicalClassifier, Priors

N_TEST = 4000
SERVICES = 12
SD = 0.4
WORSE, LOST, LOST_OTHERS = 1.2, 0.7, 0.05
COLUMNS = {
    "gain": ("Mean gain over all processes including the null, points", 2),
    "null": ("Gain under the null, points", 2),
    "fraction": ("Fraction of the oracle gain", 3),
    "rmse": ("RMSE of probabilities, points", 1),
    "ici": ("Mean absolute miscalibration (50 groups), points", 1),
    "slope": ("Calibration slope", 2),
}
Cell = dict[str, tuple[np.ndarray, float]]  # predicted by-arm table and seconds, by method


def redrawn(sample: Sample, truth: np.ndarray, rng: np.random.Generator) -> Sample:
    """Return the same patients with outcomes from other probabilities."""
    codes = sample.truth.columns.get_indexer(sample.X["arm"])
    y = rng.random(len(codes)) < truth[np.arange(len(codes)), codes]
    table = pd.DataFrame(truth, sample.truth.index, sample.truth.columns)
    return replace(
        sample, y=pd.Series(y.astype(float), sample.y.index), truth=table, oracle=truth.argmax(axis=1)
    )


def timed(model: Any, sample: Sample, test: pd.DataFrame, **options: Any) -> tuple[np.ndarray, float]:
    """Fit a model; return its by-arm table of the test patients, and the seconds of the fit."""
    started = time.perf_counter()
    fitted = model.fit(sample.X, sample.y, **options)
    seconds = time.perf_counter() - started
    return fitted.predict_by_arm(test)[list(sample.truth.columns)].to_numpy(), seconds


def services(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Add services to both samples; without, as a new, and as a known service, from 0/1 and from scores."""
    rng, n_arms = np.random.default_rng([seed, 41]), train.truth.shape[1]
    effects = SD * rng.normal(size=(SERVICES, 1)) + SD * rng.normal(size=(SERVICES, n_arms))
    both = []
    for sample in (train, test):
        at = rng.integers(0, SERVICES, len(sample.X))
        truth = expit(logit(sample.truth.to_numpy().clip(1e-6, 1 - 1e-6)) + effects[at])
        moved = redrawn(sample, truth, rng)
        both.append(replace(moved, X=moved.X.assign(service=[f"S{number:02d}" for number in at])))
    train, test = both
    plain = replace(train, X=train.X.drop(columns="service"))
    rows, cells = test.X.drop(columns="arm"), {}
    for ending in ("", ", score"):
        score = -end_score(train, seed) if ending else None
        cells[f"without services{ending}"] = timed(HierarchicalClassifier(), plain, rows, score=score)
        model = HierarchicalClassifier(groups="service")
        cells[f"new service{ending}"] = timed(model, train, rows.drop(columns="service"), score=score)
        cells[f"known service{ending}"] = timed(model, train, rows, score=score)
    return cells, test


def lost(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Add dropout, which loses outcomes: complete cases, and the average over dropout."""
    rng, both, dropped = np.random.default_rng([seed, 43]), [], np.empty(0)
    for sample in (train, test):
        base = logit(sample.truth.to_numpy().clip(1e-6, 1 - 1e-6))
        chance = expit(-0.45 - 0.6 * (base - base.mean()))
        codes = sample.truth.columns.get_indexer(sample.X["arm"])
        rows = np.arange(len(codes))
        dropped = (rng.random(len(codes)) < chance[rows, codes]).astype(float) if sample is train else dropped
        given = redrawn(sample, expit(base - WORSE * (dropped[:, None] if sample is train else 0)), rng)
        truth = chance * expit(base - WORSE) + (1 - chance) * expit(base)
        table = pd.DataFrame(truth, sample.truth.index, sample.truth.columns)
        both.append(replace(given, truth=table, oracle=truth.argmax(axis=1)))
    train, test = both
    gone = rng.random(len(dropped)) < np.where(dropped == 1, LOST, LOST_OTHERS)
    seen = replace(train, X=train.X[~gone], y=train.y[~gone], truth=train.truth[~gone])
    whole = replace(train, X=train.X.assign(dropout=dropped), y=train.y.mask(gone))
    rows, cells = test.X.drop(columns="arm"), {}
    for ending in ("", ", score"):
        scores = -end_score(train, seed)
        own, every = (scores[~gone], scores.mask(gone)) if ending else (None, None)
        cells[f"complete cases{ending}"] = timed(HierarchicalClassifier(), seen, rows, score=own)
        mixture = DropoutMixture(HierarchicalClassifier())
        cells[f"average over dropout{ending}"] = timed(mixture, whole, rows, score=every)
    return cells, test


def published(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Give published contrasts to the model: none, right, and wrong ones."""
    rng, arms, rows = np.random.default_rng([seed, 47]), list(train.truth), test.X.drop(columns="arm")
    means, se, n = logit(test.truth.mean()).to_numpy(), 0.15, len(arms)
    errors, off = se * rng.normal(size=n), 0.5 * rng.normal(size=n)
    cells = {"without": timed(HierarchicalClassifier(), train, rows)}
    for name, wrong in (("right", 0.0), ("wrong", 1.0)):
        estimate = means + errors + wrong * off
        contrasts = {
            (arm, arms[0]): (estimate[k] - estimate[0], se * 2**0.5) for k, arm in enumerate(arms[1:], 1)
        }
        priors = Priors(arm_contrasts=contrasts, contrast_correlation=(np.eye(n - 1) + 1) / 2)
        cells[f"{name} contrasts"] = timed(HierarchicalClassifier(priors=priors), train, rows)
    return cells, test


PARTS: dict[str, tuple[str, Callable[[Sample, Sample, int], tuple[Cell, Sample]]]] = {
    "services": ("Known services", services),
    "lost": ("Lost outcomes", lost),
    "published": ("Published estimates", published),
}


def run(job: tuple[Process, int, int, str]) -> list[dict[str, Any]]:
    """Fit all methods of a part to one sample, and score them."""
    process, n, seed, part = job
    warnings.simplefilter("ignore")
    train, test = process.draw(n, seed), process.draw(N_TEST, seed, part="test")
    cells, test = PARTS[part][1](train, test, seed)
    truth, found = test.truth.to_numpy(), []
    for method, (predicted, seconds) in cells.items():
        policy = policy_scores(predicted, truth, test.oracle)
        groups = np.array_split(np.argsort(predicted.ravel()), 50)
        away = [abs((predicted.ravel()[rows] - truth.ravel()[rows]).mean()) for rows in groups]
        found.append(
            {
                "part": part,
                "process": process.name,
                "n": n,
                "seed": seed,
                "method": method,
                "gain": 100 * policy["gain"],
                "null": np.nan if process.modified else 100 * policy["gain"],
                "fraction": policy["fraction"] if process.modified else np.nan,
                "rmse": 100 * root_mean_square(predicted - truth),
                "ici": 100 * float(np.mean(away)),
                "slope": calibration_slope(predicted, truth),
                "seconds": seconds,
            }
        )
    return found


def shown(cells: pd.DataFrame, column: str, digits: int) -> str:
    """Return a table of methods by n: mean over processes, with its standard error over seeds."""
    by_seed = cells.groupby(["method", "n", "seed"], sort=False)[column].mean()
    mean, se = (getattr(by_seed.groupby(["method", "n"], sort=False), name)() for name in ("mean", "sem"))
    sizes = sorted(cells["n"].unique())
    rows = [f"| method | {' | '.join(f'n = {n:,}' for n in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for method in cells["method"].unique():
        values = [f"{mean[method, n]:.{digits}f} ({se[method, n]:.{digits}f})" for n in sizes]
        rows.append(f"| {method} | {' | '.join(values)} |")
    return "\n".join([*rows, ""])


def main() -> None:
    """Run all combinations, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "INFORMATION.md")
    args = parser.parse_args()
    jobs = list(product(RECORDS, args.n, range(args.seeds), args.parts))
    with ProcessPoolExecutor(args.jobs) as pool:
        cells = pd.DataFrame([row for rows in pool.map(run, jobs, chunksize=4) for row in rows])
    parts = [
        "Written by `python -m benchmarks.selection.information`; do not edit. The script describes the "
        "processes. In brackets: standard errors over seeds. All models are the hierarchical one.\n"
    ]
    for part in args.parts:
        parts.append(f"# {PARTS[part][0]}\n")
        rows = cells[cells["part"] == part]
        for column, (label, digits) in COLUMNS.items():
            parts += [f"## {label}\n", shown(rows, column, digits)]
    args.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
