"""Rules of eligibility: 50 rules on one record, and on a table.

    python -m benchmarks.service.eligibility [--patients 100000]

The rules read ten columns of the synthetic codebook; a rule has two to four tests, joined by AND, OR and NOT.
A tenth of the values is missing. The seconds of a table include the checks and, in the second line, the long
table of reasons.
"""

import argparse
import time

import numpy as np
import pandas as pd

from treatsel.codebook import Codebook
from treatsel.datasets import synthetic_path
from treatsel.eligibility import Rules

N_RULES = 50
NUMBERS = {
    "age": (18, 90),
    "phq9_start": (0, 27),
    "gad7_start": (0, 21),
    "wsas_start": (0, 40),
    "chronicity_months": (1, 360),
    "previous_episodes": (0, 10),
}
TEXTS = ("gender", "employment", "preferred_format")
FLAG = "long_term_condition"


def rules_of(codebook: Codebook, seed: int = 0) -> Rules:
    """Return 50 rules, of which most are false for most patients."""
    random = np.random.default_rng(seed)
    arms = list(codebook["arm"].enum or ())
    entries = []
    for number in range(N_RULES):
        first, second = random.choice(list(NUMBERS), 2, replace=False)
        low, high = NUMBERS[first]
        text = str(random.choice(TEXTS))
        levels = random.choice(codebook[text].enum, 2, replace=False)
        when = [
            f"{first} >= {low + (high - low) * 3 // 4} AND {text} = '{levels[0]}'",
            f"{first} > {high - 2} OR {second} IS NULL AND {FLAG} = TRUE",
            f"{text} IN ('{levels[0]}', '{levels[1]}') AND {first} < {low + 4} AND NOT {FLAG} = TRUE",
            f"{first} BETWEEN {low} AND {low + 5} AND ({text} <> '{levels[0]}' OR {second} > 15)",
        ][number % 4]
        entries.append(
            {
                "id": f"rule-{number + 1}",
                "arms": [str(arm) for arm in random.choice(arms, 2, replace=False)],
                "when": when,
                "effect": ("exclude", "warn")[number % 2],
                "reason": "For a benchmark.",
            }
        )
    shared = {"source": "A benchmark", "version": "1", "date": "2026-11-01"}
    return Rules.from_dict({**shared, "rules": entries}, codebook=codebook)


def patients_of(codebook: Codebook, n: int, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    numbers = {name: random.integers(*limits, size=n).astype(float) for name, limits in NUMBERS.items()}
    texts = {name: random.choice(codebook[name].enum, n) for name in TEXTS}
    table = pd.DataFrame({**numbers, **texts, FLAG: random.integers(0, 2, n).astype(float)})
    return table.mask(random.random(table.shape) < 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=100_000)
    args = parser.parse_args()
    codebook = Codebook.read(synthetic_path("codebook.yaml"))
    rules, table = rules_of(codebook), patients_of(codebook, args.patients)
    records = table.head(2000).to_dict("records")
    for record in records:
        rules.apply_record(record)
    took = []
    for record in records:
        start = time.perf_counter()
        rules.apply_record(record)
        took.append(1e6 * (time.perf_counter() - start))
    p50, p99 = np.quantile(took, [0.5, 0.99])
    print(f"One record, {N_RULES} rules: p50 {p50:.1f} us, p99 {p99:.1f} us\n")
    print("| table | best of three, s |\n|---|---|")
    for name, whole in (("permissions", False), ("permissions and reasons", True)):
        seconds, n_reasons = [], 0
        for _ in range(3):
            start = time.perf_counter()
            found = rules.apply(table)
            n = len(found.allowed)
            n_reasons = len(found.reasons) if whole else 0
            seconds.append(time.perf_counter() - start)
        rows = f", {n_reasons:,} reasons" if whole else ""
        print(f"| {n:,} patients, {N_RULES} rules, {name}{rows} | {min(seconds):.2f} |")


if __name__ == "__main__":
    main()
