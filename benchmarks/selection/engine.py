"""Our models on tables as services keep them, from 0/1 outcomes and from scores; write ENGINE.md.

    python -m benchmarks.selection.engine --n 300 1000 --seeds 8         about 5 minutes on two cores
    python -m benchmarks.selection.engine --report small --seeds 6       60 and 120 patients
    python -m benchmarks.selection.engine --report trees --seeds 2 --peers-python PYTHON
    python -m benchmarks.selection.engine --report held_back --seeds 4   the processes that were kept back

Each report has its own sections of ENGINE.md; the other sections are kept. PYTHON is the interpreter of an
environment with stochtree, LightGBM and scikit-learn.

The score is a PHQ-9 at the end, below 10 in patients with the good outcome, drawn around the same truth: what
it adds is information, not another truth. The first table is the mean gain over all processes including the
null, since a method that gains by doing harm where there is nothing to gain is not the best.
"""

import argparse
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from benchmarks.selection.methods import fit_armwise, fit_ridge_interaction, ridge
from benchmarks.selection.peers import PeerWorker
from benchmarks.selection.process import Process, Sample
from benchmarks.selection.processes import HELD_BACK, PROCESSES
from benchmarks.selection.records import RECORDS
from benchmarks.selection.results import defeats
from benchmarks.selection.scores import calibration_slope, contrasts, policy_scores, root_mean_square
from benchmarks.selection.sections import update
from treatsel.models import HierarchicalClassifier, StackedClassifier

N_TEST = 4000
STACK_FROM = 2000
N_DRAWN = 500  # patients of the test whose intervals are compared with the truth
CLINIC = tuple(process for process in PROCESSES if process.site is None)
OURS = ("hierarchical", "hierarchical, score", "stacked", "stacked, score")
BAYESIAN = ("stochtree BART, by arm", "stochtree BCF")
METHODS = (*OURS, "ridge interaction", "per-arm logistic", *BAYESIAN)
RARE = ("rare_arms", "unequal")  # 60 patients do not have 3 events in each of their arms
COLUMNS = {
    "fraction": ("Fraction of the oracle gain, processes with heterogeneity", 3),
    "rmse": ("RMSE of probabilities, points", 1),
    "pehe": ("PEHE: RMSE of differences, points", 1),
    "slope": ("Calibration slope", 2),
    "covered": ("Coverage of 95 % intervals of the differences between arms, percent", 1),
    "moved": ("Coverage for the recommended minus the best single arm, where they differ, percent", 1),
    "seconds": ("Seconds of a fit", 2),
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Methods, sizes and tables of a report.

    `sections`: title and processes of each; `note`: text below the title; `columns`: tables in addition to
    the gains; `by_process`: whether the fraction is shown for each process as well; `defeats`: whether the
    processes are listed on which a peer is better.
    """

    sections: dict[str, tuple[Process, ...]]
    methods: tuple[str, ...]
    sizes: tuple[int, ...]
    columns: tuple[str, ...] = tuple(COLUMNS)
    note: str = ""
    by_process: bool = True
    defeats: bool = True


RECORD_TABLES, CLINICS = "Tables as services keep them", "The processes of RESULTS.md without sites"
REPORTS = {
    "main": Report(
        sections={RECORD_TABLES: RECORDS, CLINICS: CLINIC},
        methods=(*OURS, "ridge interaction"),
        sizes=(300, 1000),
        defeats=False,
    ),
    "small": Report(
        sections={
            f"Small samples: {name[0].lower()}{name[1:]}": tuple(p for p in processes if p.name not in RARE)
            for name, processes in ((RECORD_TABLES, RECORDS), (CLINICS, CLINIC))
        },
        methods=("hierarchical", "hierarchical, score", "ridge interaction", "per-arm logistic"),
        sizes=(60, 120),
        columns=("fraction",),
        note=f"Without {' and '.join(RARE)}: 60 patients do not have 3 events in each arm.",
        by_process=False,
    ),
    "trees": Report(
        sections={
            f"Bayesian trees: {name[0].lower()}{name[1:]}": processes
            for name, processes in ((RECORD_TABLES, RECORDS), (CLINICS, CLINIC))
        },
        methods=("hierarchical", "hierarchical, score", *BAYESIAN),
        sizes=(300, 1000),
        columns=("fraction", "pehe", "seconds"),
        note="BART (one model per arm) and BCF (one forest for the effects of all arms) of stochtree, "
        "probit link, from 0/1 outcomes, one chain: 150 iterations of burn-in, then 100 draws, every second. "
        "All methods learn from the same samples.",
    ),
    "held_back": Report(
        sections={"Processes that were kept back": HELD_BACK},
        methods=(*OURS, "ridge interaction"),
        sizes=(300, 1000, 5000),
        note="Nothing was tuned on these processes. Both have heterogeneity.",
    ),
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


def fitted(method: str, train: Sample, seed: int) -> Any:
    """Fit a method of this interpreter."""
    if method == "ridge interaction":
        return fit_ridge_interaction(train.X, train.y, seed, None)
    if method == "per-arm logistic":
        return fit_armwise(ridge)(train.X, train.y, seed, None)
    own = {"hierarchical": HierarchicalClassifier, "stacked": StackedClassifier}[method.split(",")[0]]
    score = -end_score(train, seed) if method.endswith("score") else None
    return own().fit(train.X, train.y, score=score)


def run(job: tuple[Process, int, int, str, str]) -> dict[str, Any]:
    """Fit one method to one sample, and score it."""
    process, n, seed, method, peers_python = job
    warnings.simplefilter("ignore")
    train, test = process.draw(n, seed), process.draw(N_TEST, seed, part="test")
    arms, truth, found = list(test.truth.columns), test.truth.to_numpy(), {}
    if method in BAYESIAN:
        with PeerWorker(peers_python) as worker:
            answer = worker.predict(method, train, test, seed, None)
        predicted, seconds = answer.by_arm[arms].to_numpy(), answer.fit_seconds
    else:
        started = time.perf_counter()
        model = fitted(method, train, seed)
        seconds = time.perf_counter() - started
        predicted = model.predict_by_arm(test.X.drop(columns="arm"))[arms].to_numpy()
        found = {
            "rmse": 100 * root_mean_square(predicted - truth),
            "slope": calibration_slope(predicted, truth),
            **coverage(model, test, predicted),
        }
    policy = policy_scores(predicted, truth, test.oracle)
    return {
        "process": process.name,
        "modified": process.modified,
        "n": n,
        "seed": seed,
        "method": method,
        "gain": 100 * policy["gain"],
        "fraction": policy["fraction"],
        "pehe": 100 * root_mean_square(contrasts(predicted) - contrasts(truth)),
        "seconds": seconds,
        **found,
    }


def shown(cells: pd.DataFrame, column: str, digits: int) -> str:
    """Return a table of methods by n: mean over processes, with its standard error over seeds."""
    by_seed = cells.groupby(["method", "n", "seed"])[column].mean()
    mean, se = (getattr(by_seed.groupby(["method", "n"]), name)() for name in ("mean", "sem"))
    known, sizes = set(mean.dropna().index), sorted(cells["n"].unique())
    rows = [f"| method | {' | '.join(f'n = {n:,}' for n in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for method in [name for name in METHODS if name in set(cells["method"])]:
        values = [
            f"{mean[method, n]:.{digits}f} ({se[method, n]:.{digits}f})" if (method, n) in known else "-"
            for n in sizes
        ]
        rows.append(f"| {method} | {' | '.join(values)} |")
    return "\n".join([*rows, ""])


def written(cells: pd.DataFrame, report: Report) -> str:
    """Return the tables of some processes."""
    real, null = cells[cells["modified"]], cells[~cells["modified"]]
    seeds = " to ".join(sorted({str(n) for n in cells.groupby(["method", "n"])["seed"].nunique()}))
    parts = [f"{report.note} Seeds: {seeds}.\n".lstrip()]
    parts += ["## Mean gain over all processes including the null, points\n", shown(cells, "gain", 2)]
    if len(null):
        parts += ["## Gain under the null, points\n", shown(null, "gain", 2)]
    for column in report.columns:
        label, digits = COLUMNS[column]
        parts += [f"## {label}\n", shown(real if column == "fraction" else cells, column, digits)]
    if report.by_process:
        parts += ["## Fraction by process\n"]
        for name, rows in real.groupby("process", sort=False):
            parts += [f"### {name}\n", shown(rows, "fraction", 2)]
    if report.defeats:
        # gains as proportions, as in RESULTS.md; scores are information that the peers do not have
        same = cells[~cells["method"].str.endswith("score")]
        parts += defeats(same.assign(gain=same["gain"] / 100), "")
    return "\n".join(parts)


def main() -> None:
    """Run all combinations, and write the sections of the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", choices=REPORTS, default="main")
    parser.add_argument("--n", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--processes", nargs="+", help="names; all of the report by default")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--add", type=Path, help="raw results of earlier runs, to which these are added")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter with stochtree")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "ENGINE.md")
    args = parser.parse_args()
    report = REPORTS[args.report]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    processes = [process for group in report.sections.values() for process in group]
    if args.processes:
        processes = [process for process in processes if process.name in args.processes]
    choices = args.methods or report.methods, [args.peers_python]
    jobs = [
        job
        for job in product(processes, args.n or report.sizes, seeds, *choices)
        # below 2,000 patients, the stack is the hierarchical model
        if args.methods or job[1] >= STACK_FROM or not job[3].startswith("stacked")
    ]
    with ProcessPoolExecutor(args.jobs) as pool:
        cells = pd.DataFrame(pool.map(run, jobs, chunksize=4))
    if args.add is not None:
        # "null" is the name of a process, not a missing value
        known = {"keep_default_na": False, "na_values": ["", "nan"]}
        cells = pd.concat([pd.read_csv(args.add, **known), cells]) if args.add.exists() else cells
        cells.to_csv(args.add, index=False)
    intro = (
        "Written by `python -m benchmarks.selection.engine`; do not edit. In brackets: standard errors over "
        "seeds. Below 2,000 patients, the stack is the hierarchical model."
    )
    sections = {}
    for title, group in report.sections.items():
        rows = cells[cells["process"].isin([process.name for process in group])]
        if len(rows):
            sections[title] = written(rows, report)
    update(args.out, intro, sections)


if __name__ == "__main__":
    main()
