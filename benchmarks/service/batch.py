"""Bit vectors compared with LightGBM: a million patients, four arms, 200 trees of 31 leaves per arm.

    python -m benchmarks.service.batch [--rows 1000000] [--jobs 2]

Both score the same trees on the same encoded float64 matrix with the same number of threads, in one run,
alternating. Then all steps from a table (checks, encoding, probabilities) by
`treatsel.scale.predict_in_chunks`; then, in a fresh process without a table, from one Parquet file to
another by `treatsel.scale.predict_file`.
"""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.service.latency import ARMS, N_PATIENTS, cohort, selector_of

CHUNK = 50_000
ROW_GROUP = 100_000


def boosters_of(selector: object) -> list[object]:
    model = next(iter(selector.models_.values()))  # type: ignore[attr-defined]
    return [model.estimators_[arm].booster_ for arm in ARMS]


def raw_scores(boosters: list[object], matrix: np.ndarray, jobs: int) -> np.ndarray:
    return np.column_stack([b.predict(matrix, raw_score=True, num_threads=jobs) for b in boosters])


def bit_vectors(trees: object, matrix: np.ndarray, jobs: int) -> np.ndarray:
    parts = [matrix[start : start + CHUNK] for start in range(0, len(matrix), CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        return np.concatenate(list(pool.map(trees.score, parts)))  # type: ignore[attr-defined]


def megabytes() -> float:
    """Return the peak memory of this process; `getrusage` would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def of_file(folder: Path, few: pd.DataFrame) -> tuple[float, float, float]:
    """Predict a file in this process; return seconds, megabytes beforehand and peak megabytes."""
    from treatsel import load_model
    from treatsel.scale import predict_file

    selector = load_model(folder / "model.treatsel")
    selector.predict_by_arm(few)
    before, start = megabytes(), time.perf_counter()
    predict_file(selector, folder / "patients.parquet", folder / "out.parquet", level=None)
    return time.perf_counter() - start, before, megabytes()


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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ts.save_model(selector, folder / "model.treatsel", intended_use="A benchmark.")
        loaded = ts.load_model(folder / "model.treatsel")
        start = time.perf_counter()
        table = predict_in_chunks(loaded, patients)
        took = time.perf_counter() - start
        print(
            f"\nFrom a table of {len(table):,} patients, one job: {took:.1f} s, checks and encoding included"
        )
        patients.to_parquet(folder / "patients.parquet", row_group_size=ROW_GROUP)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            took, before, peak = pool.apply(of_file, (folder, patients.head(100)))
    print(
        f"From a Parquet file of as many into another, one job, no intervals, a fresh process: {took:.1f} s; "
        f"{before:.0f} MB held before, {peak:.0f} MB at most"
    )


if __name__ == "__main__":
    main()
