"""`treatsel predict`: probabilities with intervals for each patient, outcome and arm."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from treatsel._checks import count_of
from treatsel.additive import SERVICES
from treatsel.artifact import load_model
from treatsel.cli._io import (
    TABLE,
    DataOutput,
    add_date,
    add_json,
    add_reading,
    check_outputs,
    reading,
    write_json,
)
from treatsel.errors import InputError
from treatsel.scale import predict_file
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        help="predict outcomes by arm",
        description="Write a long table: patient, outcome, arm, probability, lower, upper, in_scope, reason, "
        "reason_column and, if the model knows services, service. Files may be larger than memory: patients "
        "are read, predicted and written in chunks.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("patients", type=Path, help=f"{TABLE}, one patient per row")
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of the intervals (default: %(default)s)"
    )
    parser.add_argument(
        "--no-intervals", action="store_true", help="omit lower and upper; takes a fraction of the time"
    )
    add_on_invalid(parser)
    add_service(parser)
    add_date(parser)
    add_json(parser)
    add_reading(parser)
    parser.add_argument("--n-jobs", type=int, help="number of processes; -1: all cores (default: 1)")
    parser.add_argument(
        "--out",
        type=Path,
        help="CSV or Parquet file, created only when complete (default: CSV to standard output)",
    )
    parser.set_defaults(run=run)


def add_on_invalid(parser: argparse.ArgumentParser) -> None:
    """Add the option for values that violate the codebook."""
    parser.add_argument(
        "--on-invalid",
        choices=["raise", "flag"],
        default="raise",
        help="stop at a value that violates the codebook, or keep the patient, marked as out of scope with "
        "reason and column (default: %(default)s)",
    )


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the option for which service predictions are."""
    parser.add_argument(
        "--service",
        choices=SERVICES,
        default="known",
        help="predict for each patient's own service where the model knows it and the file has its column, "
        "otherwise for a new one; for the average service; or for a new one (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    check_outputs([args.out, args.json], [args.model, args.patients])
    if args.n_jobs == 0:
        raise InputError("--n-jobs is 0; give a number of jobs, or -1 for all cores.")
    if args.json is not None and args.no_intervals:
        raise InputError("--json contains intervals. Leave out --no-intervals or --json.")
    selector = load_model(args.model)
    warnings = predict_file(
        selector,
        args.patients,
        DataOutput() if args.out is None else args.out,
        level=None if args.no_intervals else args.level,
        on_invalid=args.on_invalid,
        date=args.date,
        service=args.service,
        n_jobs=args.n_jobs,
        **reading(args),
        progress=_Bar() if sys.stderr.isatty() else None,
    )
    if args.json is not None:  # in memory as a whole, since a JSON document is read as a whole
        table, level = read_table(args.patients, selector.codebook_, **reading(args)), args.level
        options = {"on_invalid": args.on_invalid, "date": args.date, "service": args.service}
        found = selector.predict(table, level=level, **options)
        write_json(found, args.json)
    for code, column, n in warnings.itertuples(index=False):
        where = "" if column != column or column is None else f" in column {column!r}"
        print(f"treatsel: warning: {code}{where}: {count_of(n, 'patient')}", file=sys.stderr)
    return 0


class _Bar:
    """A progress bar for the terminal."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        left = (time.monotonic() - self._start) * (total - done) / done
        bar = "#" * (30 * done // total)
        line = f"\r[{bar:<30}] {done:,} of {total:,} patients, {left:.0f} s left "
        print(line, end="\n" if done == total else "", file=sys.stderr, flush=True)
