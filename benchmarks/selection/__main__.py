"""Compare methods on simulated processes with known truth; write RESULTS.md.

    python -m benchmarks.selection --quick                      all processes, fast methods, 10 minutes
    python -m benchmarks.selection --n 300 1000 5000 --seeds 5  the full comparison
    python -m benchmarks.selection --methods stacked --redo     one method again, after a change

Raw results are written to `simulated.csv` and `stability.csv` in the output folder. Runs that are already in
these files are not repeated without `--redo`. RESULTS.md is made from all rows of these files.
"""

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.selection.methods import METHODS, exists
from benchmarks.selection.peer_worker import METHODS as PEERS
from benchmarks.selection.peers import PeerWorker
from benchmarks.selection.process import Process, Sample
from benchmarks.selection.processes import HELD_BACK, PROCESSES, named
from benchmarks.selection.results import CHANGES, write_results
from benchmarks.selection.run import Contestant, MethodFailedError, local
from benchmarks.selection.scores import SCORES, changed, score
from benchmarks.selection.store import Store

HERE = Path(__file__).parent
OUT = HERE / ".results"
N_TEST = 5000
STABILITY_N = 1000
QUICK_N = [300, 1000]


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def compare(
    contestants: Sequence[Contestant],
    processes: Iterable[Process],
    sizes: Sequence[int],
    seeds: Sequence[int],
    store: Store,
    *,
    redo: bool,
) -> None:
    """Run all missing combinations, with seeds in the outer loop so that a short run covers all processes."""
    processes = list(processes)
    for seed in seeds:
        for n in sizes:
            for process in processes:
                able = [c for c in contestants if n <= c.largest]
                todo = [c for c in able if redo or (process.name, n, seed, c.name) not in store]
                if not todo:
                    continue
                train = process.draw(n, seed)
                test = process.draw(N_TEST, seed, part="test")
                for contestant in todo:
                    run_cell(contestant, process, train, test, seed, store)


def run_cell(
    contestant: Contestant, process: Process, train: Sample, test: Sample, seed: int, store: Store
) -> None:
    """Run one method on one sample and store its scores; a failure is printed and not stored."""
    n, started = len(train.X), time.perf_counter()
    try:
        prediction = contestant.predict(train, test, seed, process.site, True)
    except MethodFailedError as failure:
        tell(f"{process.name} {n} {seed} {contestant.name}: FAILED\n{failure}")
        return
    scores = score(prediction, test)
    store.add((process.name, n, seed, contestant.name), scores)
    tell(
        f"{process.name} {n} {seed} {contestant.name}: gain {scores['gain']:.4f} of "
        f"{scores['oracle_gain']:.4f}, fit {scores['fit_seconds']:.2f} s, "
        f"all {time.perf_counter() - started:.2f} s"
    )


def measure_stability(
    contestants: Sequence[Contestant],
    processes: Iterable[Process],
    seeds: Sequence[int],
    store: Store,
    *,
    redo: bool,
) -> None:
    """Refit with another seed of the method, with arms renamed and reversed, and without one patient."""
    for process in processes:
        for seed in seeds:
            keys = {c.name: (process.name, STABILITY_N, seed, c.name) for c in contestants}
            todo = [c for c in contestants if redo or keys[c.name] not in store]
            if not todo:
                continue
            train, test = process.draw(STABILITY_N, seed), process.draw(N_TEST, seed, part="test")
            for contestant in todo:
                try:
                    shares = changes(contestant, process, train, test, seed)
                except MethodFailedError as failure:
                    tell(f"stability {process.name} {contestant.name}: FAILED\n{failure}")
                    continue
                store.add(keys[contestant.name], shares)
                tell(f"stability {process.name} {seed} {contestant.name}: {shares}")


def changes(
    contestant: Contestant, process: Process, train: Sample, test: Sample, seed: int
) -> dict[str, float]:
    """Return the proportions of test patients whose recommended arm changes."""
    first = contestant.predict(train, test, seed, process.site, False).by_arm
    reseeded = contestant.predict(train, test, seed + 1000, process.site, False).by_arm
    names = {arm: f"arm{len(process.arms) - k}" for k, arm in enumerate(process.arms)}
    renamed = [
        Sample(
            X=part.X.assign(arm=part.X["arm"].map(names)),
            y=part.y,
            truth=part.truth.rename(columns=names),
            oracle=part.oracle,
        )
        for part in (train, test)
    ]
    other = contestant.predict(*renamed, seed, process.site, False).by_arm
    back = other.rename(columns={new: arm for arm, new in names.items()})
    without_one = Sample(X=train.X[1:], y=train.y[1:], truth=train.truth[1:], oracle=train.oracle[1:])
    shorter = contestant.predict(without_one, test, seed, process.site, False).by_arm
    return dict(zip(CHANGES, (changed(first, table) for table in (reseeded, back, shorter)), strict=True))


def chosen_contestants(args: argparse.Namespace, stack: ExitStack) -> list[Contestant]:
    """Return the requested methods; those not available are left out, with a message."""
    names = [method.name for method in METHODS] + list(PEERS)
    if unknown := set(args.methods or []) - set(names):
        raise SystemExit(f"unknown methods {sorted(unknown)}; known: {names}")
    quick = {method.name for method in METHODS if method.fast}
    wanted = args.methods or [name for name in names if name in quick or not args.quick]
    known = [local(method) for method in METHODS if exists(method)]
    if any(name in PEERS for name in wanted):
        worker = stack.enter_context(PeerWorker(args.peers_python))
        known += worker.contestants()
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "peers.json").write_text(json.dumps(worker.versions))
    chosen = [contestant for contestant in known if contestant.name in wanted]
    if missing := [name for name in wanted if name not in {c.name for c in chosen}]:
        tell(f"left out because not available: {', '.join(missing)}")
    return chosen


def versions(out: Path) -> dict[str, str]:
    """Return the versions of Python and of the libraries; those of the peers at their last run."""
    found = {"Python": platform.python_version()}
    for name in ("treatsel", "numpy", "scikit-learn", "lightgbm"):
        found[name] = importlib.metadata.version(name)
    peers = out / "peers.json"
    return found | (json.loads(peers.read_text()) if peers.exists() else {})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fast methods, n 300 and 1000, one seed")
    parser.add_argument("--n", type=int, nargs="+", help="numbers of patients to fit to")
    parser.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    names = [process.name for process in PROCESSES + HELD_BACK]
    parser.add_argument("--processes", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--methods", nargs="+", metavar="NAME")
    parser.add_argument(
        "--peers-python",
        default=sys.executable,
        help="interpreter with EconML, CausalML or stochtree; default: this one",
    )
    parser.add_argument("--held-back", action="store_true", help="also run the held-back processes")
    parser.add_argument(
        "--stability",
        action="store_true",
        help="also refit with another seed, with other arm names, and without one patient",
    )
    parser.add_argument("--redo", action="store_true", help="also repeat runs that are in the results")
    parser.add_argument("--report-only", action="store_true", help="only write RESULTS.md")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the raw results")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, then write the report."""
    args = arguments()
    started = time.perf_counter()
    sizes = args.n or (QUICK_N if args.quick else [300, 1000, 5000])
    n_seeds = args.seeds or (1 if args.quick else 3)
    seeds = range(args.first_seed, args.first_seed + n_seeds)
    processes = [named(name) for name in args.processes or [p.name for p in PROCESSES]]
    if args.held_back:
        processes += [process for process in HELD_BACK if process not in processes]
    cells = Store(args.out / "simulated.csv", list(SCORES))
    stability = Store(args.out / "stability.csv", list(CHANGES))
    if not args.report_only:
        with ExitStack() as stack:
            contestants = chosen_contestants(args, stack)
            compare(contestants, processes, sizes, seeds, cells, redo=args.redo)
            if args.stability:
                measure_stability(contestants, processes, list(seeds)[:1], stability, redo=args.redo)
    report = (HERE if args.out == OUT else args.out) / "RESULTS.md"
    write_results(report, cells.frame(), stability.frame(), versions(args.out))
    tell(f"{report} written after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
