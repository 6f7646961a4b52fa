"""Are P(best) and P(better than the default arm) what they say? Write RELIABILITY.md.

    python -m benchmarks.selection.reliability [--n 300 1000 5000] [--seeds 4]      about 4 minutes

For new patients of all processes without sites: the posterior probability that the top arm is better than the
default arm (the one with the highest mean prediction), and that it is the best arm, in groups, beside the
share of patients in whom the truth agrees. A difference below 1e-9 is none: under a process without
modification, the default arm is then the best.
"""

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.selection.engine import CLINIC, N_DRAWN, end_score
from benchmarks.selection.process import Process
from benchmarks.selection.records import RECORDS
from treatsel.models import HierarchicalClassifier, StackedClassifier

STACK_FROM = 2000
EDGES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
KINDS = {
    "better": "P(top arm is better than the default arm), where they differ",
    "best": "P(top arm is the best arm)",
}


def run(job: tuple[Process, int, int, bool]) -> pd.DataFrame:
    """Return probabilities and truths of the patients of one sample."""
    process, n, seed, scored = job
    warnings.simplefilter("ignore")
    train, test = process.draw(n, seed), process.draw(N_DRAWN, seed, part="test")
    arms, truth = list(test.truth.columns), test.truth.to_numpy()
    model: Any = StackedClassifier() if n >= STACK_FROM else HierarchicalClassifier()
    model.fit(train.X, train.y, score=-end_score(train, seed) if scored else None)
    X = test.X.drop(columns="arm")
    predicted = model.predict_by_arm(X)[arms].to_numpy()
    draws = model.predict_draws(X)[:, :, pd.Index(model.arms_).get_indexer(arms)]
    rows, top, default = np.arange(len(X)), predicted.argmax(axis=1), int(predicted.mean(axis=0).argmax())
    parts = []
    moved = np.flatnonzero(top != default)
    better = (draws[:, moved, top[moved]] > draws[:, moved, default]).mean(axis=0)
    parts.append(("better", better, truth[moved, top[moved]] - truth[moved, default] > 1e-9))
    best = (draws[:, rows, top] >= draws.max(axis=2)).mean(axis=0)
    parts.append(("best", best, truth[rows, top] >= truth.max(axis=1) - 1e-9))
    tables = [pd.DataFrame({"kind": kind, "stated": p, "true": t}) for kind, p, t in parts]
    outcome = "score" if scored else "0/1"
    return pd.concat(tables).assign(n=n, outcome=outcome, sample=f"{process.name} {seed}")


def shown(cells: pd.DataFrame) -> str:
    """Return a table of groups of one kind: stated and true, by n and outcome."""
    rows = [
        "| n | outcome | stated | patients | mean stated | true (SE over samples) |",
        "|---|---|---|---|---|---|",
    ]
    groups = pd.cut(cells["stated"], EDGES, include_lowest=True)
    for (n, outcome, group), part in cells.groupby(["n", "outcome", groups], observed=True):
        by_sample = part.groupby("sample")["true"].agg(["sum", "size"])
        share = by_sample["sum"].sum() / by_sample["size"].sum()
        away = by_sample["sum"] - share * by_sample["size"]
        se = float(np.sqrt((away**2).sum()) / by_sample["size"].sum())
        ends = f"{group.left:.2f} to {group.right:.2f}".replace("-0.00", "0.00")
        stated = f"{part['stated'].mean():.2f}"
        rows.append(f"| {n:,} | {outcome} | {ends} | {len(part):,} | {stated} | {share:.2f} ({se:.2f}) |")
    return "\n".join([*rows, ""])


def main() -> None:
    """Run all samples, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000, 5000])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "RELIABILITY.md")
    args = parser.parse_args()
    jobs = list(product((*RECORDS, *CLINIC), args.n, range(args.seeds), (False, True)))
    with ProcessPoolExecutor(args.jobs) as pool:
        cells = pd.concat(pool.map(run, jobs, chunksize=4))
    parts = [
        "# Reliability of posterior probabilities\n",
        f"Written by `python -m benchmarks.selection.reliability`; do not edit. Seeds: {args.seeds}. "
        "Hierarchical model, from 2,000 patients on the stack.\n",
    ]
    for kind, title in KINDS.items():
        parts += [f"## {title}\n", shown(cells[cells["kind"] == kind])]
    args.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
