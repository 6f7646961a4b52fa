"""`python -m benchmarks.service`: run the scripts of this folder and write their output to RESULTS.md."""

import argparse
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = (
    "latency",
    "batch",
    "growth",
    "tables",
    "fit_memory",
    "engines",
    "monitoring",
    "eligibility",
    "preferences",
)
PACKAGES = ("treatsel", "numpy", "pandas", "scikit-learn", "lightgbm", "numba")
INTRO = """# Performance of the service path

Written by `python -m benchmarks.service`, which runs each script once, one after the other. On a shared
machine p50 and p99 vary by a third from run to run: compare only lines of the same table.
"""
HEADING = "## `python -m benchmarks.service."


def sections_of(path: Path) -> dict[str, str]:
    """Return the sections of an earlier run, by script."""
    parts = path.read_text().split(HEADING)[1:] if path.exists() else []
    return {part.split("`")[0]: HEADING + part.strip() + "\n" for part in parts}


def run(name: str) -> str:
    """Return the output of a script as a section."""
    command = [sys.executable, "-m", f"benchmarks.service.{name}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores; {packages}"
    return f"{HEADING}{name}`\n\n{date.today()}, {machine}.\n\n{done.stdout.strip()}\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=SCRIPTS,
        default=SCRIPTS,
        help="scripts to run; the sections of the others are kept",
    )
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = parser.parse_args()
    for name in args.only:
        sections = sections_of(args.out) | {name: run(name)}
        args.out.write_text("\n".join([INTRO, *(sections[one] for one in SCRIPTS if one in sections)]))


if __name__ == "__main__":
    main()
