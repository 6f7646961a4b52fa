"""Our models on tables as services keep them, from 0/1 outcomes and from scores; write ENGINE.md.

    python -m benchmarks.selection.engine --n 300 1000 --seeds 8      about 5 minutes on two cores

The score is a PHQ-9 at the end, below 10 in patients with the good outcome, drawn around the same truth: what
it adds is information, not another truth. The first table is the mean gain over all processes including the
null, since a method that gains by doing harm where there is nothing to gain is not the best.
"""

import argparse
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from benchmarks.selection.methods import fit_ridge_interaction
from benchmarks.selection.process import Process, Sample
from benchmarks.selection.processes import PROCESSES
from benchmarks.selection.records import RECORDS
from benchmarks.selection.scores import calibration_slope, contrasts, policy_scores, root_mean_square
from treatsel.models import HierarchicalClassifier, StackedClassifier

N_TEST = 4000
N_DRAWN = 500  # patients of the test whose intervals are compared with the truth
CLINIC = tuple(process for process in PROCESSES if process.site is None)
METHODS = ("hierarchical", "hierarchical, score", "stacked", "stacked, score", "ridge interaction")
COLUMNS = {
    "fraction": ("Fraction of the oracle gain, processes with heterogeneity", 3),
    "rmse": ("RMSE of probabilities, points", 1),
    "pehe": ("PEHE: RMSE of differences, points", 1),
    "slope": ("Calibration slope", 2),
    "covered": ("Coverage of 95 % intervals of the differences between arms, percent", 1),
    "moved": ("Coverage for the recommended minus the best single arm, where they differ, percent", 1),
    "seconds": ("Seconds of a fit", 2),
}


def end_score(sample: Sample, seed: int) -> pd.Series:
    """Draw PHQ-9 at the end, given the outcome: logistic around the true logit, cut at 10."""
    rng = np.random.default_rng([seed, len(sample.X), 17])
    codes = sample.truth.columns.get_indexer(sample.X["arm"])
    p = sample.truth.to_numpy()[np.arange(len(codes)), codes].clip(1e-9, 1 - 1e-9)
    u = rng.uniform(1e-9, 1 - 1e-9, len(p))
    # the latent value exceeds 0 with probability p: quantiles of the logistic distribution on that side
    latent = logit(p) + logit(np.where(sample.y == 1, (1 - p) + p * u, (1 - p) * u))
    below = np.floor(9.999 - 3.0 * np.maximum(latent, 0)).clip(0, 9)
    above = np.ceil(10 + 3.0 * np.maximum(-latent, 0) - 1e-9).clip(10, 27)
    return pd.Series(np.where(sample.y == 1, below, above), index=sample.X.index)


def coverage(model: Any, test: Sample, predicted: np.ndarray) -> dict[str, float]:
    """Return the coverage of intervals of differences: all pairs of arms, and patients who are moved."""
    rows = np.arange(min(N_DRAWN, len(test.X)))
    arms, truth = list(test.truth.columns), test.truth.to_numpy()[rows]
    if not hasattr(model, "predict_draws"):
        return {"covered": np.nan, "moved": np.nan}
    X = test.X.iloc[rows].drop(columns="arm")
    draws = model.predict_draws(X)[:, :, pd.Index(model.arms_).get_indexer(arms)]
    lower, upper = np.quantile(contrasts(draws), [0.025, 0.975], axis=0)
    inside = (lower <= contrasts(truth)) & (contrasts(truth) <= upper)
    best, chosen = int(truth.mean(axis=0).argmax()), predicted[rows].argmax(axis=1)
    moved = np.flatnonzero(chosen != best)
    gain = draws[:, moved, chosen[moved]] - draws[:, moved, best]
    low, high = np.quantile(gain, [0.025, 0.975], axis=0) if len(moved) else (np.empty(0), np.empty(0))
    true = truth[moved, chosen[moved]] - truth[moved, best]
    return {
        "covered": 100 * float(inside.mean()),
        "moved": 100 * float(((low <= true) & (true <= high)).mean()) if len(moved) else np.nan,
    }


def run(job: tuple[Process, int, int, str]) -> dict[str, Any]:
    """Fit one method to one sample, and score it."""
    process, n, seed, method = job
    warnings.simplefilter("ignore")
    train, test = process.draw(n, seed), process.draw(N_TEST, seed, part="test")
    started = time.perf_counter()
    if method == "ridge interaction":
        model = fit_ridge_interaction(train.X, train.y, seed, None)
    else:
        own = {"hierarchical": HierarchicalClassifier, "stacked": StackedClassifier}[method.split(",")[0]]
        score = -end_score(train, seed) if method.endswith("score") else None
        model = own().fit(train.X, train.y, score=score)
    seconds = time.perf_counter() - started
    predicted = model.predict_by_arm(test.X.drop(columns="arm"))[list(test.truth.columns)].to_numpy()
    truth = test.truth.to_numpy()
    policy = policy_scores(predicted, truth, test.oracle)
    return {
        "process": process.name,
        "modified": process.modified,
        "n": n,
        "seed": seed,
        "method": method,
        "gain": 100 * policy["gain"],
        "fraction": policy["fraction"],
        "rmse": 100 * root_mean_square(predicted - truth),
        "pehe": 100 * root_mean_square(contrasts(predicted) - contrasts(truth)),
        "slope": calibration_slope(predicted, truth),
        "seconds": seconds,
        **coverage(model, test, predicted),
    }


def shown(cells: pd.DataFrame, column: str, digits: int) -> str:
    """Return a table of methods by n: mean over processes, with its standard error over seeds."""
    by_seed = cells.groupby(["method", "n", "seed"])[column].mean()
    mean, se = (getattr(by_seed.groupby(["method", "n"]), name)() for name in ("mean", "sem"))
    known, sizes = set(mean.dropna().index), sorted(cells["n"].unique())
    rows = [f"| method | {' | '.join(f'n = {n:,}' for n in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for method in METHODS:
        values = [
            f"{mean[method, n]:.{digits}f} ({se[method, n]:.{digits}f})" if (method, n) in known else "-"
            for n in sizes
        ]
        rows.append(f"| {method} | {' | '.join(values)} |")
    return "\n".join([*rows, ""])


def written(cells: pd.DataFrame, title: str) -> list[str]:
    """Return the tables of some processes."""
    real = cells[cells["modified"]]
    parts = [f"# {title}\n", "## Mean gain over all processes including the null, points\n"]
    parts += [
        shown(cells, "gain", 2),
        "## Gain under the null, points\n",
        shown(cells[~cells["modified"]], "gain", 2),
    ]
    for column, (label, digits) in COLUMNS.items():
        parts += [f"## {label}\n", shown(real if column == "fraction" else cells, column, digits)]
    parts += ["## Fraction by process\n"]
    for name, rows in real.groupby("process", sort=False):
        parts += [f"### {name}\n", shown(rows, "fraction", 2)]
    return parts


def main() -> None:
    """Run all combinations, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--add", type=Path, help="raw results of earlier runs, to which these are added")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "ENGINE.md")
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs = list(product((*RECORDS, *CLINIC), args.n, seeds, args.methods))
    with ProcessPoolExecutor(args.jobs) as pool:
        cells = pd.DataFrame(pool.map(run, jobs, chunksize=4))
    if args.add is not None:
        cells = pd.concat([pd.read_csv(args.add), cells]) if args.add.exists() else cells
        cells.to_csv(args.add, index=False)
    records = cells["process"].isin([process.name for process in RECORDS])
    parts = [
        "Written by `python -m benchmarks.selection.engine`; do not edit. In brackets: standard errors over "
        "seeds. Below 2,000 patients, the stack is the hierarchical model.\n"
    ]
    parts += written(cells[records], "Tables as services keep them")
    parts += written(cells[~records], "The processes of RESULTS.md without sites")
    args.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
