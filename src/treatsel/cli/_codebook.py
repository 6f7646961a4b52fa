"""`treatsel codebook`: draft a codebook from a table."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.cli._io import check_outputs
from treatsel.codebook import Codebook
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "codebook",
        help="draft a codebook from a table",
        description="Draft a codebook (YAML) from a table: types, roles and ranges, to be reviewed and "
        "corrected by hand.",
    )
    parser.add_argument("cohort", type=Path, help="CSV or Parquet, one patient per row")
    parser.add_argument("--arm", help="column of the received arm (default: guessed from its name)")
    parser.add_argument("--outcome", action="append", metavar="COLUMN", help="outcome column; repeatable")
    parser.add_argument("--site", help="column of the site or service")
    parser.add_argument(
        "--missing", action="append", metavar="TEXT", help="text that represents a missing value; repeatable"
    )
    parser.add_argument(
        "--overrides",
        type=Path,
        help="codebook, complete or partial, whose entries replace those of the draft",
    )
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draft, apply the overrides, and write."""
    check_outputs([args.out], [args.cohort, args.overrides])
    book = Codebook.infer(
        read_table(args.cohort),
        arm=args.arm,
        outcomes=args.outcome,
        site=args.site,
        missing_values=["", *(args.missing or [])],
    )
    if args.overrides is not None:
        book = book.merge(args.overrides)
    if args.out is None:
        print(book.to_yaml(), end="")
    else:
        book.write(args.out)
    return 0
