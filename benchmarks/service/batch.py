"""A million patients, four arms, 200 trees of 31 leaves an arm: bit vectors beside LightGBM, same trees.

    python -m benchmarks.service.batch [--rows 1000000] [--jobs 2]

Both score the same encoded float64 matrix with the same number of threads, in one run, alternating; then the
whole way from a table (checks, encoding, probabilities) through `treatsel.scale.predict_in_chunks`.
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.service.latency import ARMS, N_PATIENTS, cohort, selector_of

CHUNK = 50_000


def boosters_of(selector: object) -> list[object]:
    model = next(iter(selector.models_.values()))  # type: ignore[attr-defined]
    return [model.estimators_[arm].booster_ for arm in ARMS]


def raw_scores(boosters: list[object], matrix: np.ndarray, jobs: int) -> np.ndarray:
    return np.column_stack([b.predict(matrix, raw_score=True, num_threads=jobs) for b in boosters])


def bit_vectors(trees: object, matrix: np.ndarray, jobs: int) -> np.ndarray:
    parts = [matrix[start : start + CHUNK] for start in range(0, len(matrix), CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(trees.score, parts)))  # type: ignore[attr-defined]


def main() -> None:
    from lightgbm import LGBMClassifier

    import treatsel as ts
    from treatsel.models import ArmwiseClassifier
    from treatsel.scale import predict_in_chunks

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    boosted = LGBMClassifier(n_estimators=200, num_leaves=31, n_jobs=1, verbose=-1)
    selector = selector_of(ArmwiseClassifier(boosted), *cohort(N_PATIENTS, 1))
    model = next(iter(selector.additive_.values()))
    boosters = boosters_of(selector)
    patients = cohort(args.rows, 3)[0].drop(columns="arm")
    matrix = np.concatenate(
        [model.encoding.encode(patients[i : i + CHUNK]) for i in range(0, len(patients), CHUNK)]
    )
    model.trees.score(matrix[:CHUNK])  # compiles, the very first time
    seconds: dict[str, list[float]] = {"LightGBM": [], "bit vectors": []}
    for _ in range(2):
        start = time.perf_counter()
        theirs = raw_scores(boosters, matrix, args.jobs)
        seconds["LightGBM"].append(time.perf_counter() - start)
        start = time.perf_counter()
        ours = bit_vectors(model.trees, matrix, args.jobs)
        seconds["bit vectors"].append(time.perf_counter() - start)
    print(f"{args.rows:,} patients, {len(ARMS)} arms x 200 trees, {args.jobs} threads")
    print(f"same bits: {np.array_equal(ours, theirs)}")
    print("\n| way | best of two, s | times LightGBM |\n|---|---|---|")
    best = {name: min(found) for name, found in seconds.items()}
    for name, found in best.items():
        print(f"| {name} | {found:.2f} | {best['LightGBM'] / found:.2f} |")
    del ours, theirs, matrix
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.treatsel"
        ts.save_model(selector, path, intended_use="A benchmark.")
        loaded = ts.load_model(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    table = predict_in_chunks(loaded, patients)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nFrom a table of {len(table):,} patients, one job: {took:.1f} s, checks and encoding included")
    print(f"Peak memory of the process before and after: {before:.0f} and {after:.0f} MB")


if __name__ == "__main__":
    main()
