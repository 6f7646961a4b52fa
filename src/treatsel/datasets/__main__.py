"""Run ``python -m treatsel.datasets data/synthetic`` to reproduce the included files."""

import argparse
from pathlib import Path

from treatsel.datasets import write_synthetic

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m treatsel.datasets", description=write_synthetic.__doc__)
    parser.add_argument("folder", type=Path, help="folder to write to")
    for path in write_synthetic(parser.parse_args().folder):
        print(path)
