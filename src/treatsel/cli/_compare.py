"""`treatsel compare`: two validation reports side by side."""

import argparse
from pathlib import Path
from typing import Any

from treatsel._checks import count_of
from treatsel._reporting.format import DASH, fixed, number
from treatsel.cli._io import check_outputs, write_table
from treatsel.validation import ValidationReport, compare
from treatsel.validation.report import not_shared


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="compare two validation reports",
        description="Compare the figures of two reports written by `treatsel validate --json`.",
    )
    parser.add_argument("first", type=Path, help="JSON file of the first report")
    parser.add_argument("second", type=Path, help="JSON file of the second report")
    parser.add_argument(
        "--all", action="store_true", help="also print figures by arm, pair, site and subgroup"
    )
    parser.add_argument("--out", type=Path, help="table to write, CSV or Parquet (always all figures)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read both reports and print the differences."""
    check_outputs([args.out], [args.first, args.second])
    first, second = (ValidationReport.from_json(path) for path in (args.first, args.second))
    table = compare(first, second)
    if args.out is not None:
        write_table(table, args.out)
    print(f"Differences in {second.outcome}: second minus first, {100 * first.level:g} % intervals.\n")
    shown = table if args.all else table[table["group"] == "overall"]
    for row in shown.to_dict(orient="records"):
        name = row["measure"] if row["group"] == "overall" else f"{row['measure']}, {row['group']}"
        bounds = f"{_signed(row['lower'])} to {_signed(row['upper'])}"
        both = f"{number(row['first'], 3):>8s} {number(row['second'], 3):>8s}"
        print(f"  {name:44s} {both}  {_signed(row['difference'])} ({bounds})")
    if unshared := len(not_shared(first, second)):
        print(f"\n{count_of(unshared, 'figure')} occur{'s' if unshared == 1 else ''} in only one report.")
    if len(table) and table["same_patients"].iloc[0]:
        print("The reports share their patients: intervals, which assume independent cohorts, are too wide.")
    return 0


def _signed(value: float) -> str:
    return DASH if value != value else fixed(value, "+.3f")
