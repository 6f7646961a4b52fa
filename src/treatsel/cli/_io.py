"""Output files, ``name=value`` options and progress messages shared by the commands."""

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
