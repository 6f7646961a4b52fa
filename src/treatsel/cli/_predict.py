"""`treatsel predict`: probabilities with intervals for each patient, outcome and arm."""

import argparse
import sys
from pathlib import Path
from typing import Any

from treatsel.artifact import load_model
from treatsel.cli._io import check_outputs, write_table
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "predict",
        help="predict outcomes by arm",
        description="Write a long table: patient, outcome, arm, probability, lower, upper.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("patients", type=Path, help="CSV or Parquet, one patient a row")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals (default: %(default)s)")
    add_on_invalid(parser)
    parser.add_argument("--out", type=Path, help="CSV or Parquet file (default: CSV to standard output)")
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
    selector = load_model(args.model)
    patients = read_table(args.patients, selector.codebook_)
    predictions = selector.predict(patients, level=args.level, on_invalid=args.on_invalid)
    write_table(predictions.to_frame(), args.out)
    for (code, column), rows in predictions.warnings.groupby(["code", "column"], dropna=False):
        where = "" if column != column or column is None else f" in column {column!r}"
        print(f"treatsel: warning: {code}{where}: {len(rows)} patients", file=sys.stderr)
    return 0
