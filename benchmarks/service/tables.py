"""Seconds on one core to fit, and to recommend for tables.

    python -m benchmarks.service.tables [--patients 30000] [--recommended 20000]

Synthetic cohorts with six arms; the estimator "auto" fits recovery, learned from two scores, and dropout. The
score model and the 0/1 model fit the same patients, one after the other, in the same process.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before NumPy is imported

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import treatsel as ts  # noqa: E402
from treatsel.datasets import make_cohort  # noqa: E402
from treatsel.models import HierarchicalClassifier  # noqa: E402


def seconds(work: Callable[..., Any], *given: Any, **options: Any) -> tuple[Any, float]:
    """Return a result, and the seconds that it took."""
    start = time.perf_counter()
    return work(*given, **options), time.perf_counter() - start


def wide(n: int, n_columns: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return n patients with numbers, an arm of six, outcomes and scores."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, n_columns))
    X = pd.DataFrame(x, columns=[f"x{j}" for j in range(n_columns)]).assign(arm=rng.choice(list("abcdef"), n))
    score = 0.5 * x[:, 0] + 0.3 * x[:, 1] * (X["arm"] == "a").to_numpy() + rng.logistic(size=n)
    return X, (score > 0).astype(float), score


def main() -> None:
    """Print one line per task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--patients", type=int, default=30_000)
    parser.add_argument("--recommended", type=int, default=20_000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for n in (1000, 5000):
        X, y, score = wide(n, 40)
        model = HierarchicalClassifier().fit(X.head(200), y[:200])  # imports and caches
        binary = min(seconds(model.fit, X, y)[1] for _ in range(3))
        scored = min(seconds(model.fit, X, y, score=score)[1] for _ in range(3))
        lines.append((f"hierarchical, {n:,} x 40, six arms, 0/1", binary))
        lines.append((f"the same from scores ({scored / binary:.1f} times as long)", scored))
    cohort = make_cohort(args.patients, random_state=1).cohort
    selector, spent = seconds(ts.TreatmentSelector(random_state=0).fit, cohort)
    lines.append((f"fit, {args.patients:,} patients, two outcomes, six arms", spent))
    X = make_cohort(args.recommended, random_state=2).cohort.X
    selector.recommend(X.head(50))
    lines.append((f"recommend, a table of {args.recommended:,}", seconds(selector.recommend, X)[1]))
    print("| task | seconds |\n|---|---|")
    print("\n".join(f"| {task} | {spent:.2f} |" for task, spent in lines))


if __name__ == "__main__":
    main()
