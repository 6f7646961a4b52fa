"""`python -m benchmarks.service`: run the scripts of this folder, and write what they print to RESULTS.md."""

import argparse
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = ("latency", "batch", "growth")
PACKAGES = ("treatsel", "numpy", "pandas", "scikit-learn", "lightgbm", "numba")
INTRO = """# The service path, measured

Written by `python -m benchmarks.service`: each script once, one after the other. On a shared machine p50 and
p99 move by a third from run to run: compare the lines of one table.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SCRIPTS, default=SCRIPTS)
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    parts = [INTRO, f"{date.today()}, {machine}; {packages}.\n"]
    for name in args.only:
        command = [sys.executable, "-m", f"benchmarks.service.{name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        parts.append(f"## `python -m benchmarks.service.{name}`\n\n{done.stdout.strip()}\n")
    args.out.write_text("\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
