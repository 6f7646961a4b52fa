"""Cost of the engines compared with one process: the same patients, the same bits.

    python -m benchmarks.service.engines [--rows 200000] [--workers 2]

Dask: a cluster of processes on this machine. Spark: a local session; left out, with the reason, where pyspark
or Java is absent. Seconds are from the call to the whole table in this process; start-up is separate.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.service.growth import make_model, make_patients


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def row(name: str, seconds: float, rows: int, table: pd.DataFrame, local: pd.DataFrame, start: float) -> None:
    same = np.array_equal(table[local.columns].to_numpy(), local.to_numpy())
    print(
        f"| {name} | {start:.1f} | {seconds:.1f} | {1e6 * seconds / rows:.0f} | {'yes' if same else 'NO'} |",
        flush=True,
    )


def on_dask(selector: Any, path: Path, workers: int) -> tuple[float, float, pd.DataFrame]:
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    from treatsel.scale import predict_dask

    start, cluster = timed(
        lambda: LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    )
    with cluster, Client(cluster):
        ddf = dd.read_parquet(path, split_row_groups=True)
        predict_dask(selector, ddf.partitions[:workers]).compute()  # imports, and reading the model
        seconds, table = timed(lambda: predict_dask(selector, ddf).compute())
    return start, seconds, table


def on_spark(selector: Any, path: Path, workers: int) -> tuple[float, float, pd.DataFrame]:
    from pyspark.sql import SparkSession

    from treatsel.scale import predict_spark

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(f"local[{workers}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    start, spark = timed(builder.getOrCreate)
    spark.sparkContext.setLogLevel("OFF")
    sdf = spark.read.parquet(str(path))
    predict_spark(selector, sdf.limit(1000)).toPandas()  # imports, and reading the model
    seconds, table = timed(lambda: predict_spark(selector, sdf).toPandas())
    spark.stop()
    return start, seconds, table


def main() -> None:
    """Print one line per engine."""
    from treatsel import load_model
    from treatsel.scale import predict_in_chunks

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings(action="ignore"):
        folder = Path(name)
        make_model(folder, "hierarchical")
        path = folder / "patients.parquet"
        make_patients(path, args.rows)
        selector, patients = load_model(folder / "model.treatsel"), pd.read_parquet(path)
        print(f"{args.rows:,} patients, six arms, hierarchical model, {args.workers} workers\n")
        print("| way | start s | predict s | us a patient | same bits |\n|---|---|---|---|---|")
        seconds, local = timed(lambda: predict_in_chunks(selector, patients))
        row("one process, table in memory", seconds, args.rows, local, local, 0.0)
        start, seconds, table = on_dask(selector, path, args.workers)
        row("Dask, from Parquet", seconds, args.rows, table, local, start)
        lacking = [
            what
            for what, there in (
                ("pyspark", find_spec("pyspark") is not None),
                ("Java", shutil.which("java") is not None or "JAVA_HOME" in os.environ),
            )
            if not there
        ]
        if lacking:
            print(f"\nSpark was left out: {' and '.join(lacking)} not installed.")
        else:
            start, seconds, table = on_spark(selector, path, args.workers)
            row("Spark, from Parquet", seconds, args.rows, table, local, start)


if __name__ == "__main__":
    main()
