"""Options, input and output files, and progress messages shared by the commands."""

import argparse
import datetime
import io
import logging
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel import table as tables
from treatsel._checks import count_of
from treatsel._files import is_direct, is_stream, write_bytes
from treatsel._reporting.text import in_one_line
from treatsel.cli._ending import ERASE, named_output
from treatsel.codebook import SAFETY_CODES
from treatsel.errors import InputError, TreatselWarning
from treatsel.manifest import date_of

TABLE = "CSV, TSV, Excel or Parquet"  # what every command that takes a table can read
_SIGNS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "blank": " "}
_UNWRITTEN = (".tsv", ".tab", ".xlsx", ".xlsm", ".xls", ".ods")  # would not hold what their name says


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options that state how the text files of a command are written."""
    group = parser.add_argument_group(
        "text files",
        "How the tables of this command are written if they are text files (CSV, TSV, also .gz). By default, "
        "this is recognized from each file.",
    )
    group.add_argument(
        "--sep",
        type=lambda text: _SIGNS.get(text, text),
        metavar="SIGN",
        help="sign between cells: comma, semicolon, tab, bar or blank, or the sign itself",
    )
    group.add_argument("--decimal", choices=[".", ","], help="decimal sign of numbers")
    group.add_argument("--encoding", metavar="NAME", help="encoding of the text, such as utf-8 or cp1252")


def reading(args: argparse.Namespace) -> dict[str, str | None]:
    """Return what the options of `add_reading` state, as options of the readers."""
    return {"separator": args.sep, "decimal": args.decimal, "encoding": args.encoding}


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None] = ()) -> None:
    """Check, before any work is done, that outputs can be written and overwrite no input.

    Raises
    ------
    InputError
        If a folder does not exist, an output is a folder or of a kind that is not written (Excel), two files
        of the command have the same name, or an input that can be read only once is named twice.
    """
    taken: dict[str, str] = {}
    for path in inputs:
        if path is None:
            continue
        if _place(path) in taken and is_stream(path):
            raise InputError(f"{path} is named twice, but can be read only once. Write it to a file first.")
        taken[_place(path)] = "is an input of this command"
    for path in outputs:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(
                f"Cannot write {path}: the folder {str(path.parent)!r} does not exist. Create it first."
            )
        if path.is_dir():
            raise InputError(f"Cannot write {path}: it is a folder. Name a file.")
        if path.suffix.lower() in _UNWRITTEN:
            raise InputError(
                f"Cannot write {path}: {path.suffix} files can be read, but not written. Name a file that "
                "ends in .csv or .parquet."
            )
        if not os.access(folder := os.path.dirname(_place(path)), os.W_OK) and not is_direct(path):
            raise InputError(
                f"Cannot write {path}: the folder {folder!r} is protected or absent. Choose another."
            )
        if (reason := taken.get(_place(path))) is not None:
            raise InputError(f"Refusing to write {path}: it {reason}. Choose another name.")
        taken[_place(path)] = "is already another output of this command"


def _place(path: Path) -> str:
    return os.path.realpath(path)  # unlike Path.resolve, without an exception where links form a circle


class DataOutput:
    """Standard output for data: characters that its encoding lacks are refused, not replaced."""

    def write(self, text: str) -> None:
        """Write a text, or raise `InputError`."""
        encoding = sys.stdout.encoding or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            raise InputError(
                f"Standard output has the encoding {encoding}, which lacks characters of these data. Write "
                "to a file with --out, or set PYTHONIOENCODING=utf-8."
            ) from None
        with named_output():
            sys.stdout.write(text)


def write_table(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table without its index to a CSV or Parquet file, or as CSV to standard output."""
    tables.write_table(table, DataOutput() if out is None else out)


def save_picture(ax: Any, path: Path) -> None:
    """Write the figure of `ax` as PNG, SVG or PDF, depending on the file extension."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"The name of a figure must end in .png, .svg or .pdf; {path.name!r} does not.")
    stream = io.BytesIO()
    ax.figure.savefig(stream, dpi=150, format=path.suffix[1:].lower())
    write_bytes(path, stream.getvalue())


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


def say_safety(warnings: pd.DataFrame) -> None:
    """Print a line on stderr for each safety item with a warning, those that are flagged first."""
    safety = warnings[warnings["code"].isin(SAFETY_CODES)]
    counts = safety.groupby(["code", "column"], sort=False).size().reset_index(name="n_patients")
    for code, column, n in counts.itertuples(index=False):
        print(f"treatsel: warning: {code} in column {column!r}: {count_of(n, 'patient')}", file=sys.stderr)


def say_expired(warnings: pd.DataFrame) -> None:
    """Print a line on stderr if the model had expired on the given date."""
    if n := int((warnings["code"] == "model_expired").sum()):
        line = f"treatsel: warning: model_expired: {count_of(n, 'patient')}"
        print(line, file=sys.stderr)


def write_json(result: Any, out: Path | None) -> None:
    """Write the JSON of a result to a file, if one is named."""
    if out is not None:
        write_bytes(out, (result.to_json() + "\n").encode())


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for the JSON of results."""
    parser.add_argument(
        "--json", type=Path, help="JSON file to write as well, with all options and the audit record"
    )


def say(text: str) -> None:
    """Print a progress message if stderr is a terminal; pipes and logs stay clean."""
    if sys.stderr.isatty():
        print(f"{ERASE}{text}", file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """Print a result, after the line of progress on the terminal has been removed."""
    if sys.stderr.isatty():
        print(ERASE, end="", file=sys.stderr, flush=True)
    print(text, flush=True)


class _StatusLine(logging.Handler):
    """The last message of the log and the time since the start, in one line that is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        width = shutil.get_terminal_size().columns - 1
        text = f"{minutes}:{seconds:02d}  {record.getMessage()}"[:width]
        print(f"{ERASE}{text}", end="", file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[None]:
    """Show the log of the library as one line if stderr is a terminal; pipes and logs stay clean."""
    if not sys.stderr.isatty():
        yield
        return
    logger, handler = logging.getLogger("treatsel"), _StatusLine()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        print(ERASE, end="", file=sys.stderr, flush=True)
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def warnings_at_the_end() -> Iterator[None]:
    """Print the warnings of the library when a command has ended; similar ones once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TreatselWarning)
        try:
            yield
        finally:
            for line in grouped(str(w.message) for w in caught if issubclass(w.category, TreatselWarning)):
                print(f"treatsel: warning: {line}", file=sys.stderr)


def grouped(messages: Iterable[str]) -> list[str]:
    """Return messages in their order, one line each; of those that differ only in numbers, the first."""
    found: dict[str, list[str]] = {}
    for message in messages:
        head, *points = message.split("\n- ")
        for text in [f"{head} {point}" for point in points] or [message]:
            line = in_one_line(text)
            # names in quotation marks stay: the digits of 'remission_6m' are no number
            key = re.sub(r"'[^']*'|\d[\d,.]*", lambda m: m[0] if m[0].startswith("'") else "#", line)
            found.setdefault(key, []).append(line)
    return [f"{lines[0]}{_more(lines)}" for lines in found.values()]


def _more(lines: list[str]) -> str:
    if len(lines) == 1:
        return ""
    alike = len(set(lines)) == 1
    return f" [{len(lines)} times{'' if alike else ', with different numbers'}]"
