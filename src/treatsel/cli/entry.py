"""The console script. It imports the commands, which takes a second, where Ctrl-C is already handled."""

import sys

from treatsel.cli._ending import status_of


def main() -> int:
    """Run the command line with the arguments of the process, and return its exit status."""
    return status_of(_run)


def _run() -> int:
    from treatsel.cli.main import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
