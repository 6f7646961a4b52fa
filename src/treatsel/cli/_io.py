"""Output files, ``name=value`` options and progress messages shared by the commands."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel import table as tables
from treatsel._files import is_direct, is_stream, write_bytes
from treatsel.cli._ending import named_output
from treatsel.errors import InputError


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None] = ()) -> None:
    """Check, before any work is done, that outputs can be written and overwrite no input.

    Raises
    ------
    InputError
        If a folder does not exist, an output is a folder, two files of the command have the same name, or an
        input that can be read only once is named twice.
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
