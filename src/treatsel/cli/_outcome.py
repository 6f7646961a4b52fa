"""`treatsel outcome`: add a 0/1 outcome, defined by scores or attendance, to a table."""

import argparse
import inspect
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel import outcome as outcomes
from treatsel._checks import count_of
from treatsel.cli._io import TABLE, add_reading, check_outputs, pair, reading, write_table
from treatsel.codebook import number_of
from treatsel.errors import InputError
from treatsel.outcome import Outcome
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "outcome",
        help="add an outcome, such as remission or dropout, to a table",
        description="Label every patient by a named outcome and add it as a column of 0, 1 and empty (not "
        "known). Without a table, list the outcomes with their inputs and options.",
    )
    parser.add_argument("table", type=Path, nargs="?", help=f"{TABLE}, one patient per row")
    parser.add_argument("--name", choices=Outcome.names(), help="the outcome")
    parser.add_argument(
        "--column",
        action="append",
        type=pair,
        default=[],
        metavar="INPUT=COLUMN",
        help="column that holds an input, for example last=phq9_end; repeatable",
    )
    parser.add_argument(
        "--option",
        action="append",
        type=pair,
        default=[],
        metavar="NAME=VALUE",
        help="option of the outcome, for example instrument=PHQ-9 or k=4; repeatable",
    )
    parser.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="TEXT",
        help="text that means a missing value; repeatable",
    )
    parser.add_argument("--as", dest="as_", metavar="COLUMN", help="name of the new column (default: --name)")
    add_reading(parser)
    parser.add_argument("--out", type=Path, help="table to write (default: standard output, as CSV)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, label, and write; or list the outcomes."""
    if args.table is None or args.name is None:
        if args.table is not None:
            raise InputError(f"Name the outcome: --name, one of {list(Outcome.names())}.")
        print(_listed())
        return 0
    check_outputs([args.out], [args.table])
    frame = read_table(args.table, None, **reading(args))
    outcome = Outcome.get(args.name, **{name: _value(text) for name, text in args.option})
    columns = dict(args.column)
    new = args.as_ or outcome.name
    if new in frame.columns:
        raise InputError(f"The table already has a column {new!r}. Give the outcome another name: --as NAME.")
    inputs = frame.copy()
    for column in set(columns.values()) & set(frame.columns):
        inputs[column] = _numbers(frame[column], ["", *args.missing])
    label = outcome.label(inputs, **columns)
    frame[new] = label.astype("Int64")
    write_table(frame, args.out)
    if args.out is not None:
        known = int(label.notna().sum())
        direction = "good" if outcome.event_is_good else "bad"
        print(
            f"Wrote {args.out}: {new!r} ({outcome.title}; 1 is {direction}) for {known:,} of "
            f"{count_of(len(frame), 'patient')}; it is 1 in {int(label.sum()):,} of them."
        )
    return 0


def _numbers(column: pd.Series, missing: list[str]) -> pd.Series:
    """Return a column of cells as numbers; raise if a cell is neither a number nor missing."""
    absent = column.isna() | column.isin(missing)
    numbers = column.map(number_of).astype("float64").mask(absent)
    if n := int((numbers.isna() & ~absent).sum()):
        raise InputError(
            f"Column {column.name!r} holds {count_of(n, 'value')} that are not numbers. If they mean "
            "missing, name them with --missing."
        )
    return numbers


def _value(text: str) -> Any:
    number = number_of(text)
    if number != number:
        return text
    return int(number) if number.is_integer() else number


def _listed() -> str:
    lines = []
    for name in Outcome.names():
        parameters = inspect.signature(getattr(outcomes, name)).parameters.values()
        kinds = {True: "--option", False: "--column"}
        listed = [f"{kinds[p.kind is p.KEYWORD_ONLY]} {p.name}=..." for p in parameters]
        lines.append(f"{name}: {' '.join(listed)}")
    return "\n".join(lines)
