"""`treatsel predict`: probabilities with intervals for each patient, outcome and arm."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from treatsel._checks import count_of
from treatsel.artifact import load_model
from treatsel.cli._io import TABLE, add_reading, check_outputs, reading
from treatsel.errors import InputError
from treatsel.scale import predict_file


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        help="predict outcomes by arm",
        description="Write a long table: patient, outcome, arm, probability, lower, upper. Files may be "
        "larger than memory: patients are read, predicted and written in chunks.",
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
        help="stop at a value that violates the codebook, or flag the patient (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    check_outputs([args.out], [args.model, args.patients])
    if args.n_jobs == 0:
        raise InputError("--n-jobs is 0; give a number of jobs, or -1 for all cores.")
    warnings = predict_file(
        load_model(args.model),
        args.patients,
        sys.stdout if args.out is None else args.out,
        level=None if args.no_intervals else args.level,
        on_invalid=args.on_invalid,
        n_jobs=args.n_jobs,
        **reading(args),
        progress=_Bar() if sys.stderr.isatty() else None,
    )
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
