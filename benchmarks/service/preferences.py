"""Time of preferences for one patient: acceptabilities by simulation and exact, dominance and flips.

    python -m benchmarks.service.preferences [--number 200]

One thread; median and 99th percentile of consecutive calls, in milliseconds. Arms and criteria have simulated
means and posterior draws.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before NumPy is imported

import numpy as np  # noqa: E402

from treatsel.preference import (  # noqa: E402
    Criterion,
    PartialValues,
    Preferences,
    acceptability,
    dominance,
    flips,
    partial_values,
    smaa,
)

KINDS = ("nothing known", "ranked", "bounds", "known")


def values_of(n_arms: int, n_criteria: int, n_draws: int) -> PartialValues:
    """Return simulated arms whose values overlap."""
    random = np.random.default_rng(0)
    names = [f"criterion {j}" for j in range(n_criteria)]
    spread = 0.05 * (n_draws > 1)
    draws = {
        name: random.uniform(0.3, 0.7, n_arms) + random.normal(0, spread, (n_draws, n_arms)) for name in names
    }
    arms = [f"arm {i}" for i in range(n_arms)]
    return partial_values(draws, [Criterion(name, worst=0, best=1) for name in names], arms=arms)


def preferences_of(kind: str, values: PartialValues) -> Preferences:
    """Return preferences of a kind for the criteria of the values."""
    k = len(values.names)
    made: dict[str, Callable[[], Preferences]] = {
        "nothing known": lambda: Preferences.between({}, criteria=values.names),
        "ranked": lambda: Preferences.ranked(values.names),
        "bounds": lambda: Preferences.between(dict.fromkeys(values.names, (0.3 / k, 2.4 / k))),
        "known": lambda: Preferences.equal(values.names),
    }
    return made[kind]()


def milliseconds(call: Callable[[], Any], number: int) -> tuple[float, float]:
    """Return the median and the 99th percentile of calls after the first."""
    call()
    times = []
    for _ in range(number):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1e3), float(np.quantile(times, 0.99) * 1e3)


def tasks(number: int) -> Iterator[tuple[str, Callable[[], Any], int]]:
    """Yield label, call and number of repetitions."""
    for n_draws in (10_000, 1_000):
        values = values_of(6, 6, n_draws)
        for kind in KINDS:
            label = f"SMAA, 10,000 draws ({n_draws:,} of the model), 6 arms, 6 criteria, {kind}"
            if kind == "known" and n_draws < 10_000:
                continue  # uses the draws of the model alone
            yield label, partial(smaa, values, preferences_of(kind, values)), number
    for size in (4, 5, 6):
        values = values_of(size, size, 1)
        for kind in KINDS[:3]:
            label = f"exact acceptability, {size} arms, {size} criteria, {kind}"
            yield label, partial(acceptability, values, preferences_of(kind, values)), max(number // 10, 5)
    values = values_of(6, 6, 1)
    ranked = preferences_of("ranked", values)
    yield "dominance, 6 arms, 6 criteria, ranked", partial(dominance, values, ranked), max(number // 10, 5)
    yield "flips, 6 arms, 6 criteria", partial(flips, values, preferences_of("known", values)), number
    for kind in KINDS[:3]:
        yield f"weight set and its mean, 6 criteria, {kind}", partial(mean_weights, kind, values), number


def mean_weights(kind: str, values: PartialValues) -> dict[str, float]:
    return preferences_of(kind, values).mean_weights


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service.preferences", description=__doc__)
    parser.add_argument("--number", type=int, default=200, help="calls of each quick task")
    args = parser.parse_args()
    print("| task | p50 ms | p99 ms |")
    print("|---|---|---|")
    for label, call, number in tasks(args.number):
        middle, high = milliseconds(call, number)
        print(f"| {label} | {middle:.2f} | {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
