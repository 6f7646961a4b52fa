"""`treatsel combine`: validation reports of several services, pooled."""

import argparse
from pathlib import Path
from typing import Any

from treatsel.cli._io import check_outputs, write_table
from treatsel.errors import InputError
from treatsel.validation import ValidationReport, combine


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "combine",
        help="pool the validation reports of several services",
        description="Pool reports written by `treatsel validate --json` by random effects, with prediction "
        "intervals for a new service. Services share these files, and keep their data.",
    )
    parser.add_argument(
        "reports", type=Path, nargs="+", help="JSON files, two or more; names identify services"
    )
    parser.add_argument("--html", type=Path, help="page to write, with forest plots")
    parser.add_argument("--out", type=Path, help="table to write, CSV or Parquet")
    parser.add_argument("--all", action="store_true", help="also print gains over each single arm")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the reports, pool them and print the means."""
    check_outputs([args.out, args.html], args.reports)
    names = [path.stem for path in args.reports]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"Two files have the name {twice[0]!r}. Rename one: names identify services.")
    found = combine({path.stem: ValidationReport.from_json(path) for path in args.reports})
    if args.out is not None:
        write_table(found.to_frame(), args.out)
    if args.html is not None:
        found.to_html(args.html)
    print(f"{found.headline}\n")
    print(
        f"Means over services of {found.outcome} ({100 * found.level:g} % intervals), and what to expect at "
        "a new one.\n"
    )
    table = found.to_frame()
    for row in table[(table["group"] == "overall") | args.all].to_dict(orient="records"):
        name = row["measure"] if row["group"] == "overall" else f"{row['measure']}, {row['group']}"
        mean = f"{row['value']:7.3f} ({row['lower']:.3f} to {row['upper']:.3f})"
        new = f"{row['prediction_lower']:.3f} to {row['prediction_upper']:.3f}".replace("nan", "-")
        print(f"  {name:52s} {mean:28s} new: {new}")
    for caution in found.cautions:
        print(f"\n{caution}")
    return 0
