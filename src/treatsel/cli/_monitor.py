"""`treatsel monitor`: recent patients compared with the development cohort of a model."""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import count_of, names_in
from treatsel.artifact import load_model
from treatsel.cli._io import TABLE, add_reading, check_outputs, reading, say, tell
from treatsel.codebook import Codebook
from treatsel.errors import CohortError, InputError
from treatsel.monitoring import monitor
from treatsel.table import read_table


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "monitor",
        help="compare recent patients with a model's development cohort",
        description="Test recent patients for covariate drift, invalid values and, where outcomes are known, "
        "calibration. Exit status: 0 no alarm, 1 at least one alarm, 2 unusable input.",
    )
    parser.add_argument("model", type=Path, help="file written by `treatsel train`")
    parser.add_argument("recent", type=Path, help=f"{TABLE}, one patient per row, in chronological order")
    parser.add_argument(
        "--outcome", help="outcome to assess, also the name of its column (default: the model's first)"
    )
    parser.add_argument(
        "--date",
        metavar="COLUMN",
        help="date on which the outcome became known (default: the only date column of the codebook)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="TABLE",
        help="patients to compare covariates with, instead of the development cohort",
    )
    parser.add_argument(
        "--false-alarm-rate",
        type=float,
        default=0.05,
        metavar="RATE",
        help="maximum probability of any alarm if nothing has changed (default: %(default)s)",
    )
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of the intervals (default: %(default)s)"
    )
    add_reading(parser)
    parser.add_argument("--html", type=Path, help="HTML page to write")
    parser.add_argument("--markdown", type=Path, help="the page as Markdown, without pictures")
    parser.add_argument("--json", type=Path, help="all results as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, write the requested files, print the alarms; return 1 if there is any."""
    check_outputs([args.html, args.markdown, args.json], [args.model, args.recent, args.reference])
    selector = load_model(args.model)
    book = selector.codebook_
    frame = read_table(args.recent, book, **reading(args))
    say(f"Comparing {count_of(len(frame), 'patient')} ...")
    site = book.name("site")
    report = monitor(
        selector,
        frame,
        _outcome(frame, book, args.outcome, selector.outcomes_),
        outcome=args.outcome,
        dates=_dates(frame, book, args.date),
        clusters=frame[site] if site is not None and site in frame else None,
        reference=None if args.reference is None else read_table(args.reference, book, **reading(args)),
        false_alarm_rate=args.false_alarm_rate,
        level=args.level,
    )
    for path, write in (
        (args.html, report.to_html),
        (args.markdown, report.to_markdown),
        (args.json, report.to_json),
    ):
        if path is not None:
            write(path)
    with suppress(BrokenPipeError):  # the exit status reports an alarm even if nothing reads the output
        tell(report.summary())
    return int(len(report.alarms) > 0)


def _outcome(frame: pd.DataFrame, book: Codebook, name: str | None, known: list[str]) -> pd.Series | None:
    """Return the column of the outcome; None if it was not named and the table does not have it."""
    column = known[0] if name is None else name
    if column not in known or (name is not None and column not in frame):
        where = "table" if column in known else "model"
        raise InputError(f"The {where} has no outcome {column!r}. The outcomes of the model are {known}.")
    if column not in frame:
        return None
    values, violations = book[column].parse(frame[column], book.missing_values)
    if violations:
        faults = [book[column].fault(violation.code, violation.count) for violation in violations]
        raise CohortError("The outcome cannot be used:", faults)
    return values


def _dates(frame: pd.DataFrame, book: Codebook, name: str | None) -> pd.Series | None:
    if name is not None and name not in frame:
        raise InputError(f"The table has no column {name!r}, named by --date. It has {names_in(frame)}.")
    found = [one for one in book.names("date") if one in frame]
    if name is None and len(found) != 1:
        return None
    column = frame[found[0] if name is None else name]
    return column.where(~column.isin(book.missing_values))
