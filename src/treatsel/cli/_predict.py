"""`treatsel predict`: probabilities with intervals for each patient, outcome and arm."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from treatsel.artifact import load_model
from treatsel.cli._io import check_outputs
from treatsel.errors import InputError
from treatsel.scale import predict_file


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        help="predict outcomes by arm",
        description="Write a long table: patient, outcome, arm, probability, lower, upper. Files of any "
        "size: patients are read, predicted and written some at a time.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("patients", type=Path, help="CSV or Parquet, one patient a row")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals (default: %(default)s)")
    parser.add_argument(
        "--no-intervals", action="store_true", help="leave lower and upper out; takes a fraction of the time"
    )
    add_on_invalid(parser)
    parser.add_argument("--n-jobs", type=int, help="processes, -1 for all cores (default: 1)")
    parser.add_argument(
        "--out",
        type=Path,
        help="CSV or Parquet file, there when it is whole (default: CSV to standard output as it comes)",
    )
    parser.set_defaults(run=run)


def add_on_invalid(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what a value does that breaks the codebook."""
    parser.add_argument(
        "--on-invalid",
        choices=["raise", "flag"],
        default="raise",
        help="whether a value that breaks the codebook stops the run or flags its patient",
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
        progress=_Bar() if sys.stderr.isatty() else None,
    )
    for code, column, n in warnings.itertuples(index=False):
        where = "" if column != column or column is None else f" in column {column!r}"
        print(f"treatsel: warning: {code}{where}: {n} patients", file=sys.stderr)
    return 0


class _Bar:
    """A bar that a person at a terminal sees grow."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        left = (time.monotonic() - self._start) * (total - done) / done
        bar = "#" * (30 * done // total)
        line = f"\r[{bar:<30}] {done:,} of {total:,} patients, {left:.0f} s left "
        print(line, end="\n" if done == total else "", file=sys.stderr, flush=True)
