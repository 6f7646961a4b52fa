"""`treatsel`: the command line, from a patient table to a validation report."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from treatsel._version import __version__
from treatsel.cli import (
    _codebook,
    _compare,
    _crossvalidate,
    _demo,
    _explain,
    _keygen,
    _monitor,
    _outcome,
    _predict,
    _recommend,
    _sample_size,
    _show,
    _sign,
    _simulate,
    _train,
    _validate,
)
from treatsel.cli._io import progress, warnings_at_the_end
from treatsel.errors import TreatselError

COMMANDS: tuple[ModuleType, ...] = (
    _demo,
    _simulate,
    _outcome,
    _codebook,
    _train,
    _predict,
    _recommend,
    _explain,
    _crossvalidate,
    _validate,
    _compare,
    _monitor,
    _sample_size,
    _show,
    _keygen,
    _sign,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="treatsel",
        description="Treatment selection in mental health: predict, recommend, explain, validate.",
    )
    parser.add_argument("--version", action="version", version=f"treatsel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 2, after one line on stderr, for unusable input."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if getattr(args, "more_files", False):  # files may come before and after options
        args.files += [Path(name) for name in rest if not name.startswith("-")]
        rest = [name for name in rest if name.startswith("-")]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    failure = None
    with progress(), warnings_at_the_end():
        status = 0
        try:
            status = args.run(args)
            sys.stdout.flush()
        except TreatselError as error:
            failure = str(error)
        except BrokenPipeError:  # the reader of the output, such as `head`, has exited
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            failure = f"{error.filename or 'file'}: {error.strerror or error}."
    return status if failure is None else _fail(failure)


def _fail(message: str) -> int:
    print(f"treatsel: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
