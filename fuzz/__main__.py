"""`python -m fuzz`: test mutants of model files in worker processes; exit status 1 if any test fails."""

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
CHUNK = 500  # mutants per process
START = 300  # seconds allowed for starting a process
BUSY = 60  # wall-clock limit as a multiple of processor time, for busy machines
Row = tuple[str, str, int, str, str, str]  # file, kind, number, way, verdict, why


def main() -> int:
    """Run, and print the counts and all failures."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--number", type=int, default=10_000, help="mutants of each file")
    parser.add_argument("--files", type=Path, nargs="*", help="each with a NAME.patients.csv in its folder")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--seconds", type=float, default=5, help="processor time allowed for one mutant")
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
    """Yield the verdicts of workers; if one dies or hangs, a new one continues with the next mutant."""
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
    """Return the next line, "" at the end, None after a timeout."""
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return None


def counts(rows: list[Row]) -> str:
    """Return a table of the mutants refused, accepted and bad, by file, kind and way."""
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
