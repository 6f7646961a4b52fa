"""Memory that a fit needs, by patients and columns: what must fit in the memory of one process.

    python -m benchmarks.service.fit_memory [--rows 10000 40000] [--columns 10 40] [--scored]

Each line runs in a fresh process, on one core: a model is fitted to numbers without missing values, four
arms, two of which are better for some patients. "MB" is the peak memory, with the table itself, above that
of the imports and of a fit to 500 patients; "bytes" is the growth of the peak between both numbers of
patients, per patient and column.
"""

import argparse
import multiprocessing
import time
import warnings

from benchmarks.service.growth import megabytes

ROWS, COLUMNS = (10_000, 40_000), (10, 40)


def measure(kind: str, n: int, n_columns: int, scored: bool) -> tuple[float, float, float]:
    """Return seconds, peak megabytes and base megabytes of one fit."""
    import numpy as np
    import pandas as pd

    from treatsel import TreatmentSelector
    from treatsel.models import HierarchicalClassifier, StackedClassifier

    def table(n: int) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
        rng = np.random.default_rng(0)
        z, arm = rng.standard_normal((n, n_columns)), rng.integers(0, 4, n)
        effect = z[:, 0] - 0.5 * z[:, 1] + np.where(arm < 2, 0.4 * z[:, 2], 0.0)
        score = pd.Series(effect + rng.logistic(size=n), name="score")
        X = pd.DataFrame(z, columns=[f"x{j}" for j in range(n_columns)]).assign(arm=["ABCD"[k] for k in arm])
        return X, (score > 0).astype(int).rename("remission"), score

    def fit(n: int) -> None:
        X, y, score = table(n)
        if kind == "selector":
            TreatmentSelector(event_is_good=True, random_state=0).fit(X, y)
        else:
            model = StackedClassifier() if kind == "stacked" else HierarchicalClassifier()
            model.fit(X, y, score=score if scored else None)

    with warnings.catch_warnings(action="ignore"):
        fit(500)
        base, start = megabytes(), time.process_time()
        fit(n)
    return time.process_time() - start, megabytes(), base


def main() -> None:
    """Print one line per model, number of columns and number of patients."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs=2, default=ROWS, help="patients")
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS, help="covariates, all numbers")
    parser.add_argument("--models", nargs="+", default=["hierarchical", "stacked", "selector"])
    parser.add_argument("--scored", action="store_true", help="fit to a score of 12 levels")
    args = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    print(f"{'model':>12} {'columns':>7} {'patients':>8} {'CPU s':>6} {'MB':>6} {'bytes':>6}")
    for kind in args.models:
        for n_columns in args.columns:
            before = None
            for n in args.rows:
                with spawn.Pool(1) as pool:
                    seconds, peak, base = pool.apply(measure, (kind, n, n_columns, args.scored))
                cells = (n - args.rows[0]) * n_columns
                shown = "" if before is None else f"{(peak - before) * 2**20 / cells:.0f}"
                print(
                    f"{kind:>12} {n_columns:>7} {n:>8,} {seconds:>6.0f} {peak - base:>6.0f} {shown:>6}",
                    flush=True,
                )
                before = peak


if __name__ == "__main__":
    main()
