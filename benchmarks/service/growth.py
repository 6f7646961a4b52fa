"""Growth of time and memory with the number of patients.

    python -m benchmarks.service.growth [--rows 10000 100000] [--model stacked] [--intervals-to 100000]

Each line runs in a fresh process: a Parquet file of synthetic patients is predicted into another by
`treatsel.scale.predict_file`, with one job, after a run on few patients for the imports. Peak memory
is that of the whole process; "base" is its memory before the first patient. 10^7 rows
(--rows 10000000) take more than ten minutes.
"""

import argparse
import multiprocessing
import tempfile
import time
import warnings
from pathlib import Path

import pandas as pd

ROWS = (10_000, 100_000, 1_000_000)
ROW_GROUP = 100_000


def make_model(folder: Path, estimator: str) -> None:
    """Train a model of two outcomes and write it."""
    import treatsel as ts
    from treatsel.datasets import make_cohort

    cohort = make_cohort(4000, random_state=1).cohort
    selector = ts.TreatmentSelector(codebook=cohort.codebook, estimator=estimator, random_state=0)
    names = [*cohort.codebook.covariates, "arm"]
    with warnings.catch_warnings(action="ignore"):
        selector.fit(cohort.frame[names], cohort.y[["recovery", "dropout"]])
    ts.save_model(selector, folder / "model.treatsel", intended_use="A benchmark.")


def make_patients(path: Path, n: int) -> None:
    """Write n synthetic patients: the same ones repeated under new ids."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    from treatsel.datasets import make_cohort

    some = make_cohort(20_000, random_state=2).cohort.frame.reset_index(names="patient_id")
    schema = pa.Table.from_pandas(some, preserve_index=False).schema
    with ParquetWriter(path, schema) as writer:
        for start in range(0, n, ROW_GROUP):
            rows = range(start, min(start + ROW_GROUP, n))
            group = some.iloc[[i % len(some) for i in rows]].assign(patient_id=[f"p{i:09d}" for i in rows])
            writer.write_table(pa.Table.from_pandas(group, schema=schema, preserve_index=False))


def megabytes() -> float:
    """Return the peak memory of this process; `ru_maxrss` would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(folder: Path, patients: Path, intervals: bool) -> dict[str, float]:
    """Return seconds and megabytes of one prediction of a file."""
    from treatsel import load_model
    from treatsel.scale import predict_file

    selector = load_model(folder / "model.treatsel")
    few = pd.read_parquet(folder / "few.parquet")
    selector.predict(few)
    base, wall, cpu = megabytes(), time.perf_counter(), time.process_time()
    predict_file(selector, patients, folder / "out.parquet", level=0.95 if intervals else None)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "base": base, "peak": megabytes()}


def main() -> None:
    """Print one line per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="patients")
    parser.add_argument("--model", default="hierarchical", choices=["hierarchical", "stacked"])
    parser.add_argument("--intervals-to", type=int, default=100_000, help="most rows with intervals, too")
    args = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder, args.model)
        make_patients(folder / "few.parquet", 100)
        print(f"{args.model}, two outcomes, six arms, one job\n")
        print(f"{'patients':>10} {'intervals':>9} {'wall s':>8} {'CPU s':>8} {'CPU us/patient':>14}", end="")
        print(f" {'base MB':>8} {'peak MB':>8}")
        for n in args.rows:
            make_patients(folder / "patients.parquet", n)
            for intervals in (False, True):
                if intervals and n > args.intervals_to:
                    continue
                with spawn.Pool(1) as pool:
                    found = pool.apply(measure, (folder, folder / "patients.parquet", intervals))
                each = 1e6 * found["cpu"] / n
                print(f"{n:>10,} {'yes' if intervals else 'no':>9} {found['wall']:>8.1f}", end=" ")
                print(
                    f"{found['cpu']:>8.1f} {each:>14.0f} {found['base']:>8.0f} {found['peak']:>8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
