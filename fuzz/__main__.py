"""`python -m fuzz`: judge mutants of model files in worker processes; exit status 1 if one deceives."""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.model import write_stacked

ROOT = Path(__file__).parents[1]
STORED = sorted((ROOT / "tests" / "artifacts").glob("*.treatsel"))
KINDS = ("damaged", "sealed", "forged")
CHUNK = 500  # mutants a process
START = 300  # seconds that a process may take to start
BUSY = 60  # times as long may pass on the clock of a busy machine
Row = tuple[str, str, int, str, str, str]  # file, kind, number, way, verdict, why


def main() -> int:
    """Run, print the counts, and say what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--number", type=int, default=10_000, help="mutants of each file")
    parser.add_argument("--files", type=Path, nargs="*", help="beside each lies NAME.patients.csv")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--seconds", type=float, default=5, help="of processor time that one mutant may take")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = args.files or [*STORED, write_stacked(Path(folder))]
        others = [files[(i + 1) % len(files)] for i in range(len(files))]
        kinds, stop = ",".join(args.kinds), args.first + args.number
        tasks = [
            (file, other, kinds, start, min(start + CHUNK, stop), args.seed, args.seconds)
            for start in range(args.first, stop, CHUNK)
            for file, other in zip(files, others, strict=True)
        ]
        with ThreadPoolExecutor(args.jobs) as pool:
            parts = list(pool.map(lambda task: list(judged(*task)), tasks))
    rows = [row for part in parts for row in part]
    bad = [row for row in rows if row[4] not in ("refused", "accepted")]
    print(counts(rows))
    for file, kind, number, way, verdict, why in bad[:50]:
        print(f"{file} {kind} {number} ({way}): {verdict}: {why}")
    print(f"{len(rows):,} mutants, {len(bad)} of them bad, {time.monotonic() - began:,.0f} s")
    return int(bool(bad) or not rows)


def judged(
    file: Path, other: Path, kinds: str, start: int, stop: int, seed: str, limit: float
) -> Iterator[Row]:
    """Give the verdicts of workers; after one that dies or hangs, a new one goes on behind its mutant."""
    while start < stop:
        command = [sys.executable, "-m", "fuzz.worker", str(file), str(other)]
        command += [str(file.with_suffix(".patients.csv")), kinds, seed, str(start), str(stop), str(limit)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pump, args=(worker, lines), daemon=True).start()
        try:
            if _next(lines, START) != "ready":
                yield file.name, kinds, start, "none", "crashed", "a worker did not start"
                return
            while start < stop and (line := _next(lines, START)):
                number, kind = json.loads(line)
                verdict = _next(lines, BUSY * limit)
                if verdict is None or (not verdict and worker.wait() == -signal.SIGXCPU):
                    yield file.name, kind, number, "unknown", "hung", f"{limit:g} s were not enough"
                elif not verdict:
                    yield file.name, kind, number, "unknown", "crashed", f"exit status {worker.wait()}"
                else:
                    yield file.name, kind, number, *json.loads(verdict)
                start = number + 1
                if not verdict:
                    break
        finally:
            worker.kill()
            worker.wait()


def _pump(worker: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    for line in worker.stdout or ():
        lines.put(line.strip())
    lines.put("")


def _next(lines: "queue.Queue[str]", seconds: float) -> str | None:
    """Return the next line, "" at the end, None when it takes too long."""
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return None


def counts(rows: list[Row]) -> str:
    """Return a table: per file, kind and way, how many were refused, accepted, and bad."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for file, kind, _, way, verdict, _ in rows:
        for key in ((file, kind, way), (file, kind, "all")):
            found.setdefault(key, Counter())[verdict] += 1
    lines = [f"{'file':24} {'kind':8} {'way':20} {'refused':>8} {'accepted':>8} {'bad':>5}"]
    for (file, kind, way), tally in sorted(found.items()):
        bad = sum(tally.values()) - tally["refused"] - tally["accepted"]
        lines.append(f"{file:24} {kind:8} {way:20} {tally['refused']:8,} {tally['accepted']:8,} {bad:5}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
