"""Output files, ``name=value`` options and progress messages shared by the commands."""

import argparse
import datetime
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel.errors import InputError
from treatsel.manifest import date_of


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None] = ()) -> None:
    """Check, before any work is done, that outputs can be written and overwrite no input.

    Raises
    ------
    InputError
        If a folder does not exist, an output is a folder, or two files of the command have the same name.
    """
    taken = {path.resolve(): "is an input of this command" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(
                f"Cannot write {path}: the folder {str(path.parent)!r} does not exist. Create it first."
            )
        if path.is_dir():
            raise InputError(f"Cannot write {path}: it is a folder. Name a file.")
        if (reason := taken.get(path.resolve())) is not None:
            raise InputError(f"Refusing to write {path}: it {reason}. Choose another name.")
        taken[path.resolve()] = "is already another output of this command"


def write_table(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table without its index to a CSV or Parquet file, or as CSV to standard output."""
    if out is None:
        print(table.to_csv(index=False), end="")
    elif out.suffix.lower() == ".parquet":
        table.to_parquet(out, index=False)
    else:
        table.to_csv(out, index=False)


def save_picture(ax: Any, path: Path) -> None:
    """Write the figure of `ax` as PNG, SVG or PDF, depending on the file extension."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"The name of a figure must end in .png, .svg or .pdf; {path.name!r} does not.")
    ax.figure.savefig(path, dpi=150)


def pair(text: str) -> tuple[str, str]:
    """Read ``name=value``."""
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    return name, value


def weight(text: str) -> tuple[str, float]:
    """Read ``name=number``."""
    name, value = pair(text)
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number") from None


def day(text: str) -> datetime.date:
    """Read a date; only the word "today" looks at the clock."""
    if text == "today":
        return datetime.date.today()
    try:
        return date_of("--date", text)
    except InputError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date such as 2027-01-31 nor 'today'"
        ) from None


def add_date(parser: argparse.ArgumentParser) -> None:
    """Add the option for the date that is compared with the review date of the model."""
    parser.add_argument(
        "--date",
        type=day,
        metavar="YYYY-MM-DD",
        help="date of use, or 'today': warn (model_expired) if the model's review date has passed "
        "(default: not checked)",
    )


def say_expired(warnings: pd.DataFrame) -> None:
    """Print a line on stderr if the model had expired on the given date."""
    if n := int((warnings["code"] == "model_expired").sum()):
        line = f"treatsel: warning: model_expired: {count_of(n, 'patient')}"
        print(line, file=sys.stderr)


def write_json(result: Any, out: Path | None) -> None:
    """Write the JSON of a result to a file, if one is named."""
    if out is not None:
        out.write_text(result.to_json() + "\n", encoding="utf-8")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for the JSON of results."""
    parser.add_argument(
        "--json", type=Path, help="JSON file to write as well, with all options and the audit record"
    )


def say(text: str) -> None:
    """Print a progress message if stderr is a terminal; pipes and logs stay clean."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[None]:
    """Show the log of the library if stderr is a terminal; pipes and logs stay clean."""
    if not sys.stderr.isatty():
        yield
        return
    logger, handler = logging.getLogger("treatsel"), logging.StreamHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
