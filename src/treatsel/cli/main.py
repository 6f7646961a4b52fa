"""`treatsel`: the command line, from a patient table to a validation report."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from treatsel._version import __version__
from treatsel.cli import (
    _allocate,
    _ask,
    _codebook,
    _combine,
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
    _update,
    _validate,
)
from treatsel.cli._ending import status_of
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
    _ask,
    _allocate,
    _explain,
    _crossvalidate,
    _validate,
    _compare,
    _combine,
    _monitor,
    _update,
    _sample_size,
    _show,
    _keygen,
    _sign,
)
# commands that read a table of patients, and can list the ids of those with a fault
READS_PATIENTS = (
    "train",
    "predict",
    "recommend",
    "explain",
    "crossvalidate",
    "validate",
    "monitor",
    "update",
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
    for name in READS_PATIENTS:
        commands.choices[name].add_argument(
            "--show-ids",
            action="store_true",
            help="after a fault, also print the ids of the patients concerned (which may identify them)",
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 2, after one line on stderr, for unusable input."""
    return status_of(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if getattr(args, "more_files", False):  # files may come before and after options
        args.files += [Path(name) for name in rest if not name.startswith("-")]
        rest = [name for name in rest if name.startswith("-")]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    with progress(), warnings_at_the_end():
        try:
            status: int = args.run(args)
        except TreatselError as error:
            if getattr(args, "show_ids", False):
                _add_ids(error)
            raise
    return status


def _add_ids(error: TreatselError) -> None:
    """Add one note per fault with the ids of its patients (repr: an id may hold control characters)."""
    for fault in error.faults:
        if fault.rows:
            ids = ", ".join(repr(str(patient)) for patient in fault.rows)
            error.add_note(f"column {fault.column!r}, ids: {ids}")


if __name__ == "__main__":
    raise SystemExit(main())
