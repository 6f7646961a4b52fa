"""Latency of one patient, compared with code that a user might write, and throughput of threads.

    python -m benchmarks.service.latency [--number 2000]

Four arms, thirty covariates, 200 trees of 31 leaves per arm: the same trees in every line of the first table.
Then treatsel's own models of the same cohort: the hierarchical model and the stack, with intervals.
All in one run with one thread; p50 and p99 in microseconds: of many consecutive calls, and of all ways in
turn, so that each finds the processor's caches filled by the others.
"""

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ARMS = ("cbt", "counselling", "medication", "self_help")
N_PATIENTS, N_TRAINED, N_COVARIATES = 8_000, 2_000, 30
RESIDENT = """
import ctypes, json, os, sys
from treatsel import serve

def megabytes():  # what is in use: memory that was given back, but kept for later, would hide a leak
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def call(times):
    for i in range(times):
        record = records[i % len(records)]
        if i % 10 == 0:
            model.predict(record)
            model.explain(record, contrast=model.arms[:2])
        model.predict_by_arm(record)

path, source, n = sys.argv[1] + ".treatsel", sys.argv[2], int(sys.argv[3])
with open(source) as file:
    records = json.load(file)
held = [megabytes()]
model = serve.load_model(path)
held.append(megabytes())
model.explain(records[0], contrast=model.arms[:2])
held.append(megabytes())
call(len(records))
held.append(megabytes())
call(n)
held.append(megabytes())
copies = [serve.load_model(path) for _ in range(5)]
held.append(megabytes())
print(json.dumps({
    "imported": held[0], "first": held[1] - held[0], "explained": held[2] - held[1],
    "grown": held[4] - held[3], "one": (held[5] - held[4]) / 5,
}))
"""
EMPTY: dict[str, Any] = dict.fromkeys([*(f"x{j}" for j in range(N_COVARIATES - 2)), "sex", "work"])


def cohort(n: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return thirty covariates (two of them texts), the arm, and an outcome."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame(random.normal(size=(n, N_COVARIATES - 2)).round(3))
    X.columns = [f"x{j}" for j in range(N_COVARIATES - 2)]
    X["sex"] = random.choice(["female", "male"], n)
    X["work"] = random.choice(["employed", "unemployed", "student", "retired"], n)
    X["arm"] = random.choice(ARMS, n)
    logit = X["x0"] - X["x1"] + 0.5 * X["x2"] * (X["arm"] == "cbt") - 0.3
    return X, pd.Series((random.random(n) < 1 / (1 + np.exp(-logit))).astype(int), name="remission")


def pipelines(X: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    """Return what a user might write: one scikit-learn pipeline per arm."""
    from lightgbm import LGBMClassifier
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    found = {}
    for arm in ARMS:
        own = X["arm"] == arm
        encode = make_column_transformer(
            (SimpleImputer(), [name for name in X if name.startswith("x")]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["sex", "work"]),
        ).set_output(transform="pandas")
        model = LGBMClassifier(n_estimators=200, num_leaves=31, n_jobs=1, verbose=-1)
        found[arm] = make_pipeline(encode, model).fit(X[own].drop(columns="arm"), y[own])
    return found


def alternatives(X: pd.DataFrame, y: pd.Series) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """Return ways to calculate four probabilities without treatsel, by name."""
    fitted = pipelines(X, y)
    boosters = [pipeline[-1].booster_ for pipeline in fitted.values()]
    frame = next(iter(fitted.values()))[0].transform(X.drop(columns="arm").head(1))
    row = frame.to_numpy()

    def whole(record: Mapping[str, Any]) -> Any:
        patient = pd.DataFrame([record])
        return [pipeline.predict_proba(patient)[0, 1] for pipeline in fitted.values()]

    def classifier(_: Mapping[str, Any]) -> Any:
        return [pipeline[-1].predict_proba(frame) for pipeline in fitted.values()]

    def booster(_: Mapping[str, Any]) -> Any:
        return [b.predict(row, num_threads=1) for b in boosters]

    return {
        "scikit-learn pipeline an arm, one-row DataFrame": whole,
        "LGBMClassifier.predict_proba an arm, encoded row (no checks)": classifier,
        "Booster.predict an arm, encoded row (no checks)": booster,
        "LightGBM's C function for single rows, encoded row (no checks)": single_row(boosters, row),
    }


def single_row(boosters: list[Any], row: np.ndarray) -> Callable[[Any], Any]:
    """Return the fastest way that LightGBM offers: its C function for one row, set up beforehand."""
    from lightgbm import basic

    library, row, configs = basic._LIB, np.ascontiguousarray(row, dtype=np.float64), []
    for booster in boosters:
        config, one = ctypes.c_void_p(), ctypes.c_int(0)
        options = (one, one, ctypes.c_int(-1), ctypes.c_int(1), ctypes.c_int32(row.shape[1]))
        basic._safe_call(
            library.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle, *options, ctypes.c_char_p(b"num_threads=1"), ctypes.byref(config)
            )
        )
        configs.append(config)
    data, length, found = row.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(), ctypes.c_double()

    def fast(_: Mapping[str, Any]) -> Any:
        probabilities = []
        for config in configs:
            library.LGBM_BoosterPredictForMatSingleRowFast(
                config, data, ctypes.byref(length), ctypes.byref(found)
            )
            probabilities.append(found.value)
        return probabilities

    expected = [float(booster.predict(row, num_threads=1)[0]) for booster in boosters]
    assert fast({}) == expected
    return fast


def selector_of(estimator: Any, X: pd.DataFrame, y: pd.Series) -> Any:
    import treatsel as ts

    with warnings.catch_warnings(action="ignore"):
        return ts.TreatmentSelector(estimator=estimator, assignment="randomised", random_state=0).fit(X, y)


def served(selector: Any, folder: Path, name: str) -> dict[str, Any]:
    """Save a selector; return it as loaded by a service, with NumPy and compiled."""
    import treatsel as ts
    from treatsel import serve

    path, models = folder / f"{name}.treatsel", {}
    ts.save_model(selector, path, intended_use="A benchmark.")
    for kind in ("NumPy", "compiled"):
        start = time.perf_counter()
        models[kind] = serve.load_model(path, compiled=kind == "compiled")
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        models[kind].explain(EMPTY, contrast=ARMS[:2], on_invalid="flag")
        print(
            f"- {name}, {kind}: file {path.stat().st_size / 1e6:.2f} MB, loaded in {loaded:.3f} s, first "
            f"explanation {time.perf_counter() - start:.1f} s"
        )
    return models


def timed(ways: Mapping[str, Callable[[Any], Any]], records: list[Any], number: int) -> pd.DataFrame:
    """Return p50 and p99 of each way, in microseconds: in turn, and many times in a row."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(records[0])
    for i in range(number):
        for name, way in ways.items():
            if len(seconds[name]) > 200 and sum(seconds[name]) > 10:
                continue  # enough for slow ways
            seconds[name].append(clocked(way, records[i % len(records)]))
    rows = {}
    for name, way in ways.items():
        often = min(number, int(5 / np.median(seconds[name])))
        hot = [clocked(way, records[i % len(records)]) for i in range(often)]
        rows[name] = [1e6 * np.quantile(s, q) for s in (hot, seconds[name]) for q in (0.5, 0.99)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["p50", "p99", "turns p50", "turns p99"])


def clocked(way: Callable[[Any], Any], record: Any) -> float:
    start = time.perf_counter()
    way(record)
    return time.perf_counter() - start


def show(title: str, table: pd.DataFrame) -> None:
    print(f"\n### {title}\n\n| way | {' | '.join(f'{name} us' for name in table)} | p50: times the first |")
    print("|---|---|---|---|---|---|")
    first = table["p50"].iloc[0]
    for name, row in table.iterrows():
        print(f"| {name} | {' | '.join(f'{v:.0f}' for v in row)} | {first / row['p50']:.3g} |")


def ways_of(models: Mapping[str, Any], first: str = "") -> dict[str, Callable[[Any], Any]]:
    """Return the calls that a service makes to a model."""
    ways: dict[str, Callable[[Any], Any]] = {}
    for kind, model in models.items():
        ways |= {
            f"{first}{kind}: record to four probabilities (predict_by_arm)": model.predict_by_arm,
            f"{first}{kind}: with intervals, warnings, audit (predict)": model.predict,
            f"{first}{kind}: the same as JSON (predict(...).to_json())": partial(as_json, model),
            f"{first}{kind}: ranking, best set, P(best) (recommend)": model.recommend,
            f"{first}{kind}: exact contrast of two arms (explain)": partial(model.explain, contrast=ARMS[:2]),
        }
    return ways


def as_json(model: Any, record: Mapping[str, Any]) -> str:
    return str(model.predict(record).to_json())


def rate(way: Callable[[Any], Any], records: list[Any], count: int, each: int) -> float:
    """Return calls per second from this number of threads."""

    def work() -> None:
        for i in range(each):
            way(records[i % len(records)])

    workers = [threading.Thread(target=work) for _ in range(count)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return each * count / (time.perf_counter() - start)


def threads(models: Any, boosters: list[Any], row: np.ndarray, records: list[Any], n: int) -> None:
    """Print predictions per second from one, two and 64 threads: four arms each."""
    print(
        "\n### Threads\n\n| threads | predict_by_arm/s, NumPy | predict_by_arm/s, compiled | predict/s | "
        "Booster.predict of four arms/s |\n|---|---|---|---|---|"
    )

    def raw(_: Any) -> Any:
        return [booster.predict(row, num_threads=1) for booster in boosters]

    one, other = models.values()
    for count in (1, 2, 64):
        ways = (one.predict_by_arm, other.predict_by_arm, one.predict, raw)
        found = [f"{rate(way, records, count, n // count):.0f}" for way in ways]
        print(f"| {count} | {' | '.join(found)} |")


def imports(path: Path) -> None:
    """Print the import cost of the serving path, in a fresh process."""
    print()
    for compiled in (False, True):
        code = (
            "import time;t=time.process_time();from treatsel import serve;a=time.process_time()-t;"
            f"m=serve.load_model({str(path)!r},compiled={compiled});b=time.process_time()-t;"
            "peak=[x for x in open('/proc/self/status') if 'VmHWM' in x][0].split()[1];"
            "print(a,b,int(peak)/1024)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        imported, loaded, peak = map(float, done.stdout.split())
        print(
            f"- A fresh process, {'compiled' if compiled else 'NumPy'}: {imported:.2f} s CPU to import, "
            f"{loaded:.2f} s with the stack loaded, {peak:.0f} MB at most"
        )


def memory(folder: Path, names: tuple[str, ...], records: list[Any], n: int) -> None:
    """Print the memory of a loaded model, and its growth over many calls, each in a fresh process."""
    (folder / "records.json").write_text(json.dumps(records))
    for name in names:
        command = [sys.executable, "-c", RESIDENT, str(folder / name), str(folder / "records.json"), str(n)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        print(
            f"- {name}, NumPy, a fresh process: {found['imported']:.0f} MB with treatsel.serve, "
            f"{found['first']:.0f} MB more with the model, {found['one']:.1f} MB for one more copy of it, "
            f"{found['explained']:.1f} MB more after its first explanation; grew by {found['grown']:.1f} MB "
            f"over {n:,} calls of predict_by_arm and {n // 10:,} each of predict and explain"
        )


def main() -> None:
    from lightgbm import LGBMClassifier

    from treatsel.models import ArmwiseClassifier

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=100_000, help="of the memory test")
    args = parser.parse_args()
    X, y = cohort(N_PATIENTS, 1)
    records = cohort(200, 2)[0].drop(columns="arm").to_dict(orient="records")
    boosted = LGBMClassifier(n_estimators=200, num_leaves=31, n_jobs=1, verbose=-1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = served(selector_of(ArmwiseClassifier(boosted), X, y), folder, "trees")
        few = X.head(N_TRAINED), y.head(N_TRAINED)
        hierarchical = served(selector_of("hierarchical", *few), folder, "hierarchical")
        stack = served(selector_of("auto", *few), folder, "stack")
        ways = alternatives(X, y) | ways_of(trees, "treatsel, ")
        show("The same trees", timed(ways, records, args.number))
        show("The hierarchical model", timed(ways_of(hierarchical), records, args.number))
        model = next(iter(stack["NumPy"].models.values()))
        n_trees = 0 if model.trees is None else len(model.trees.roots)
        show(f"The stack ({n_trees} trees)", timed(ways_of(stack), records, args.number))
        fitted = list(pipelines(X, y).values())
        row = fitted[0][0].transform(X.drop(columns="arm").head(1)).to_numpy()
        threads(trees, [one[-1].booster_ for one in fitted], row, records, 10 * args.number)
        imports(folder / "stack.treatsel")
        memory(folder, ("trees", "hierarchical", "stack"), records, args.calls)


if __name__ == "__main__":
    main()
