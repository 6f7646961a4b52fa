"""Tables from and to CSV and Parquet, pairs on the command line, and words on stderr."""

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel.errors import InputError


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None] = ()) -> None:
    """Raise before any work is done if an output cannot be written, or would replace an input.

    Raises
    ------
    InputError
        Naming the file and what to do.
    """
    taken = {path.resolve(): "is an input of this command" for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(f"Cannot write {path}: there is no folder {str(path.parent)!r}.")
        if path.is_dir():
            raise InputError(f"Cannot write {path}: it is a folder.")
        if (reason := taken.get(path.resolve())) is not None:
            raise InputError(f"Will not write {path}: it {reason}. Choose another name.")
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
    """Write the figure of `ax` as PNG, SVG or PDF, by the ending of the name."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"A picture must end in .png, .svg or .pdf; {path.name!r} does not.")
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
        raise argparse.ArgumentTypeError(f"{value!r} is no number") from None


def say(text: str) -> None:
    """Tell a person at a terminal what goes on; say nothing into a pipe or a log."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[None]:
    """Show a person at a terminal what the library's loggers tell; into a pipe or a log, nothing."""
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
