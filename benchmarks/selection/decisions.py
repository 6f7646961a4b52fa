"""What statuses, best sets and rules of `recommend` are worth, with known truth. Write DECISIONS.md.

    python -m benchmarks.selection.decisions [--n 300 1000 5000] [--seeds 3]      about 6 minutes

New patients of all processes without sites, and of six arms that are truly equal. Differences are in points:
true gain of the recommended arm over the default arm, and true loss against the patient's best arm.
"""

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.selection.engine import CLINIC, end_score
from benchmarks.selection.process import Patients, Process
from benchmarks.selection.records import RECORDS, prognosis, record, standard, with_gaps
from treatsel.models import HierarchicalClassifier, StackedClassifier
from treatsel.recommendation import RULES, STATUSES, recommend

STACK_FROM = 2000
N_NEW = 1500
EQUAL = 1e-9  # a smaller difference of probabilities is none
EDGES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 1.0)


def equal_arms(n: int, rng: np.random.Generator) -> Patients:
    """Six arms with the same probabilities."""
    x = record(n, rng)
    truth = expit(1.2 * prognosis(x, standard(x)) + np.zeros(6))
    return Patients(covariates=with_gaps(x, rng), truth=truth, shares=np.full(6, 1 / 6))


PROCESSES = (
    *RECORDS,
    *CLINIC,
    Process(name="equal", about="six equal arms", arms=tuple("abcdef"), make=equal_arms, modified=False),
)


def run(job: tuple[Process, int, int]) -> dict[str, pd.DataFrame]:
    """Return the tables of one sample: patients, rules, best sets of equivalent arms."""
    process, n, seed = job
    warnings.simplefilter("ignore")
    train, test = process.draw(n, seed), process.draw(N_NEW, seed, part="test")
    arms, truth = list(test.truth.columns), test.truth.to_numpy()
    model: Any = StackedClassifier() if n >= STACK_FROM else HierarchicalClassifier()
    model.fit(train.X, train.y, score=-end_score(train, seed))
    X = test.X.drop(columns="arm")
    by_arm = model.predict_by_arm(X)[arms]
    draws = model.predict_draws(X)[:, :, pd.Index(model.arms_).get_indexer(arms)]
    default = by_arm.mean().idxmax()
    about = {"process": process.name, "modified": process.modified, "n": n, "seed": seed}
    loss = truth.max(axis=1)[:, None] - truth
    rows, at_default = np.arange(len(X)), arms.index(default)
    rules = []
    for rule in RULES:
        found = recommend(by_arm, draws=draws, default_arm=default, rule=rule)
        chosen = pd.Index(arms).get_indexer(found.table["arm"])
        gain = truth[rows, chosen] - truth[:, at_default]
        switched = chosen != at_default
        worse = switched & (gain < -EQUAL)
        rules.append({"rule": rule, "gain": gain.mean(), "switched": switched.mean(), "worse": worse.mean()})
    found = recommend(by_arm, draws=draws, default_arm=default)
    chosen = pd.Index(arms).get_indexer(found.table["arm"])
    members = np.array([[arm in best for arm in arms] for best in found.columns["best_set"]])
    several = members.sum(axis=1) > 1
    patients = pd.DataFrame(
        {
            "status": found.columns["status"],
            "gain": truth[rows, chosen] - truth[:, at_default],
            "loss": loss[rows, chosen],
            "expected_regret": found.columns["expected_regret"],
            "several": several,
            "set_mean": np.where(members, loss, 0).sum(axis=1) / members.sum(axis=1),
            "set_worst": np.where(members, loss, 0).max(axis=1),
            "p_regret": found.comparisons["p_regret"][rows, chosen],
            "lost": loss[rows, chosen] > found.margin,
        }
    )
    return {"patients": patients.assign(**about), "rules": pd.DataFrame(rules).assign(**about)}


def statuses(patients: pd.DataFrame) -> str:
    """Return share, true gain and true loss by status and number of patients."""
    lines = ["| status | n | share, % | true gain over the default arm | true loss against the best arm |"]
    lines += ["|---|---|---|---|---|"]
    for status in STATUSES:
        for n, of_size in patients.groupby("n"):
            mine = of_size[of_size["status"] == status]
            if len(mine):
                gain, loss = 100 * mine["gain"].mean(), 100 * mine["loss"].mean()
                lines.append(f"| `{status}` | {n:,} | {share(mine, of_size)} | {gain:.1f} | {loss:.1f} |")
    return "\n".join([*lines, ""])


def share(part: pd.DataFrame, whole: pd.DataFrame) -> str:
    """Return the percentage of patients."""
    return f"{100 * len(part) / len(whole):.1f}"


def without_modification(patients: pd.DataFrame) -> str:
    """Return the shares of statuses under each process without modification."""
    null = patients[~patients["modified"]]
    lines = [f"| process | n | {' | '.join(f'`{status}`' for status in STATUSES[:5])} |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for (process, n), part in null.groupby(["process", "n"]):
        cells = [share(part[part["status"] == status], part) for status in STATUSES[:5]]
        lines.append(f"| {process} | {n:,} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def rules(cells: pd.DataFrame) -> str:
    """Return gain, harm, switches and their harm by rule and number of patients."""
    lines = [
        "| rule | n | gain, points (SE) | gain without modification | switched, % | worse off of these, % |",
        "|---|---|---|---|---|---|",
    ]
    for (rule, n), part in cells.groupby(["rule", "n"], sort=False):
        real, null = part[part["modified"]], part[~part["modified"]]
        by_seed = 100 * real.groupby("seed")["gain"].mean()
        gain = f"{by_seed.mean():.2f} ({by_seed.std() / np.sqrt(len(by_seed)):.2f})"
        moved, worse = real["switched"].mean(), real["worse"].mean()
        harmed = f"{100 * worse / moved:.0f}" if moved else "-"
        harm = f"{100 * null['gain'].mean():.2f}"
        lines.append(f"| `{rule}` | {n:,} | {gain} | {harm} | {100 * moved:.0f} | {harmed} |")
    return "\n".join([*lines, ""])


def best_sets(patients: pd.DataFrame) -> str:
    """Return what an arm drawn from a best set of several loses, by status and number of patients."""
    lines = ["| patients | n | share with several arms, % | mean loss | loss by the worst arm |"]
    lines += ["|---|---|---|---|---|"]
    for name, whole in [("all", patients), ("`equivalent`", patients[patients["status"] == "equivalent"])]:
        for n, part in whole.groupby("n"):
            mine = part[part["several"]]
            mean, worst = 100 * mine["set_mean"].mean(), 100 * mine["set_worst"].mean()
            lines.append(f"| {name} | {n:,} | {share(mine, part)} | {mean:.1f} | {worst:.1f} |")
    return "\n".join([*lines, ""])


def regrets(patients: pd.DataFrame) -> str:
    """Return the stated beside the true regret of the recommended arm, and P(regret > margin)."""
    lines = ["| stated | n | patients | mean stated | mean true | stated P(> margin) | true share |"]
    lines += ["|---|---|---|---|---|---|---|"]
    groups = pd.cut(patients["expected_regret"], EDGES, include_lowest=True)
    for (group, n), part in patients.groupby([groups, "n"], observed=True):
        ends = f"{100 * max(group.left, 0):.0f} to {100 * group.right:.0f}"
        mean, true = 100 * part["expected_regret"].mean(), 100 * part["loss"].mean()
        above = f"{part['p_regret'].mean():.2f} | {part['lost'].mean():.2f}"
        lines.append(f"| {ends} | {n:,} | {len(part):,} | {mean:.1f} | {true:.1f} | {above} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run all samples, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000, 5000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "DECISIONS.md")
    args = parser.parse_args()
    jobs = list(product(PROCESSES, args.n, range(args.seeds)))
    with ProcessPoolExecutor(args.jobs) as pool:
        found = list(pool.map(run, jobs))
    patients = pd.concat([each["patients"] for each in found], ignore_index=True)
    cells = pd.concat([each["rules"] for each in found], ignore_index=True)
    parts = [
        "# Statuses, best sets and rules of recommendations\n",
        f"Written by `python -m benchmarks.selection.decisions`; do not edit. Seeds: {args.seeds}. "
        f"Hierarchical model, from {STACK_FROM:,} patients on the stack, fitted to 0/1 outcomes with their "
        f"scores; {N_NEW:,} new patients of each of {len(PROCESSES)} processes. Margin 0.05; gains and "
        "losses are in points of the probability of the good outcome.\n",
        "## Statuses\n",
        statuses(patients),
        "## Shares of statuses without modification, %\n",
        "`constant` and `null`: arms differ by the same amount for everybody. `equal`: six equal arms.\n",
        without_modification(patients),
        "## Rules\n",
        rules(cells),
        "## Best sets\n",
        "True loss by an arm drawn at random from the best set, against the patient's best arm.\n",
        best_sets(patients),
        "## Expected regret of the recommended arm\n",
        regrets(patients),
    ]
    args.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
