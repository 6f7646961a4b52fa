"""Time and memory of the validation metrics.

    python -m benchmarks.validation.speed [--n 100000] [--only decision]

Each row runs in a fresh process on the same simulated cohort (50 sites, three arms), after a run on few
patients for the imports. CPU seconds count every thread; peak memory is that of the whole process.
Peers that are not installed are left out. A peer that would take minutes does less, as stated in its row.
R's peers (`peers.R`) run on the same rows, with `--share` of their resamples; the ratio is per resample.
"""

import argparse
import multiprocessing
import resource
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

OURS, SKLEARN, DCURVES = "treatsel", "scikit-learn", "dcurves"
ARMS = ["a", "b", "c"]


@dataclass(frozen=True)
class Data:
    """Outcomes, the predictions of two models, and the data of a trial with three arms."""

    y: np.ndarray
    p: np.ndarray
    other: np.ndarray
    site: np.ndarray
    received: np.ndarray
    by_arm: pd.DataFrame
    propensities: pd.DataFrame


def simulate(n: int, seed: int = 0) -> Data:
    """Return a cohort with a somewhat overfitted model."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 3))
    truth = expit(-0.4 + 0.7 * x)
    arm = random.integers(0, 3, n)
    y = (random.random(n) < truth[np.arange(n), arm]).astype(int)
    by_arm = pd.DataFrame(expit(1.3 * logit(truth)), columns=ARMS)
    p = by_arm.to_numpy()[np.arange(n), arm]
    return Data(
        y=y,
        p=p,
        other=expit(logit(p) + random.normal(0, 0.5, n)),
        site=random.integers(0, 50, n),
        received=np.array(ARMS)[arm],
        by_arm=by_arm,
        propensities=pd.DataFrame(1 / 3, index=by_arm.index, columns=ARMS),
    )


Task = Callable[[Data], object]
TASKS: dict[tuple[str, str], Task] = {}


def task(name: str, package: str = OURS) -> Callable[[Task], Task]:
    """Register a function to be timed, under a name and a package."""

    def register(function: Task) -> Task:
        TASKS[name, package] = function
        return function

    return register


@task("AUC with DeLong interval")
def auc(data):
    from treatsel.metrics import roc_auc

    return roc_auc(data.y, data.p)


@task("AUC", SKLEARN)
def auc_sklearn(data):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(data.y, data.p)


@task("all closed-form figures")
def closed_form(data):
    from treatsel.metrics import calibration as fitted
    from treatsel.metrics import discrimination, overall, utility

    names = ("brier_score", "scaled_brier_score", "log_loss", "nagelkerke_r2", "spiegelhalter_z")
    lines = ("calibration_in_the_large", "calibration_slope", "observed_expected_ratio")
    found = [getattr(overall, name)(data.y, data.p) for name in names]
    found += [getattr(fitted, name)(data.y, data.p) for name in lines]
    found.append(discrimination.within_arm_auc(data.y, data.p, data.received))
    found.append(discrimination.roc_auc_difference(data.y, data.p, data.other))
    return found, discrimination.roc_auc(data.y, data.p), utility.net_benefit(data.y, data.p, 0.3)


@task("Brier score, log loss", SKLEARN)
def scores_sklearn(data):
    from sklearn.metrics import brier_score_loss, log_loss

    return brier_score_loss(data.y, data.p), log_loss(data.y, data.p)


@task("spline calibration curve with band")
def curve(data):
    from treatsel.metrics import calibration_curve

    return calibration_curve(data.y, data.p)


@task("calibration curve in ten bins", SKLEARN)
def curve_sklearn(data):
    from sklearn.calibration import calibration_curve

    return calibration_curve(data.y, data.p, n_bins=10, strategy="quantile")


@task("ICI, E50, E90, Emax with intervals")
def errors(data):
    from treatsel.metrics import integrated_calibration_index

    return integrated_calibration_index(data.y, data.p)


@task("decision curve, 99 thresholds, 500 resamples")
def decision(data):
    from treatsel.metrics.utility import decision_curve

    return decision_curve(data.y, data.p)


@task("decision curve, 99 thresholds, no intervals", DCURVES)
def decision_dcurves(data):
    from dcurves import dca

    table = pd.DataFrame({"y": data.y, "p": data.p})
    return dca(data=table, outcome="y", modelnames=["p"], thresholds=np.arange(1, 100) / 100)


@task("decision curves of two models, 99 thresholds, 500 resamples")
def decision_of_two(data):
    from treatsel.metrics.utility import decision_curve

    return decision_curve(data.y, {"p": data.p, "other": data.other})


@task("decision curve, 99 thresholds, 500 resamples of 50 sites")
def decision_by_site(data):
    from treatsel.metrics.utility import decision_curve

    return decision_curve(data.y, data.p, clusters=data.site)


@task("choice between three arms, 21 thresholds, cluster-robust")
def choice(data):
    from treatsel.metrics import aipw_scores
    from treatsel.metrics.utility import treatment_choice_net_benefit

    scores = aipw_scores(data.y, data.received, data.by_arm, data.propensities)
    return treatment_choice_net_benefit(scores, data.by_arm, clusters=data.site)


@task("value of information, 99 thresholds, asymptotic")
def information(data):
    from treatsel.metrics.utility import value_of_information

    return value_of_information(data.y, data.p)


@task("value of information, 99 thresholds, 1,000 resamples")
def information_bootstrap(data):
    from treatsel.metrics.utility import value_of_information

    return value_of_information(data.y, data.p, method="bootstrap")


@task("AUC, Brier, intercept, slope, ICI, 500 resamples")
def bootstrap_usual(data):
    from treatsel.metrics.resampled._percentile import bootstrap

    return bootstrap(data.y, data.p)


@task("AUC, 2,000 resamples")
def bootstrap_auc(data):
    from treatsel.metrics.resampled._percentile import bootstrap

    return bootstrap(data.y, data.p, ["auc"], n_resamples=2000)


@task("figures of val.prob")
def val_prob(data):
    from treatsel.metrics import integrated_calibration_index, roc_auc
    from treatsel.metrics.calibration import logistic_recalibration, weak_calibration_test
    from treatsel.metrics.overall import brier_score, nagelkerke_r2, spiegelhalter_z

    figures = (
        roc_auc,
        logistic_recalibration,
        weak_calibration_test,
        brier_score,
        nagelkerke_r2,
        spiegelhalter_z,
    )
    smooth = {"smooth": "lowess", "smooth_on": "probability", "n_resamples": 0, "n_simulations": 0}
    return [figure(data.y, data.p) for figure in figures], integrated_calibration_index(
        data.y, data.p, **smooth
    )


@task("spline calibration, 200 resamples")
def spline_resampled(data):
    from treatsel.metrics import integrated_calibration_index

    return integrated_calibration_index(data.y, data.p, n_simulations=0)


@task("AUC, 100 resamples", SKLEARN)
def bootstrap_auc_sklearn(data):
    from sklearn.metrics import roc_auc_score

    random, n = np.random.default_rng(0), len(data.y)
    rows = (random.integers(n, size=n) for _ in range(100))
    return [roc_auc_score(data.y[drawn], data.p[drawn]) for drawn in rows]


def measure(key: tuple[str, str], n: int) -> tuple[float, float, float] | None:
    """Return CPU seconds, wall seconds and peak megabytes of one task; None where a package is absent."""
    try:
        with warnings.catch_warnings(action="ignore"):
            TASKS[key](simulate(500))
    except ImportError:
        return None
    data = simulate(n)
    wall, start = time.perf_counter(), time.process_time()
    TASKS[key](data)
    cpu, wall = time.process_time() - start, time.perf_counter() - wall
    return cpu, wall, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def r_peers(n: int, share: float) -> list[tuple[str, float, float]]:
    """Return task, CPU seconds and share of the resamples of each peer in R; none without `Rscript`."""
    if shutil.which("Rscript") is None:
        return []
    data = simulate(n)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "patients.csv"
        pd.DataFrame({"y": data.y, "p": data.p}).to_csv(table, index=False)
        command = ["Rscript", str(Path(__file__).with_name("peers.R")), str(table), str(share)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    return [(name, float(seconds), float(done)) for name, seconds, done in rows]


def print_ratios(ours: dict[str, float], args: argparse.Namespace) -> None:
    """Print the peers in R and how many times as long they take as ours."""
    peers = r_peers(args.n, args.share)
    if not peers:
        print("\nR's peers are left out: there is no Rscript, or none of pROC, rms and Hmisc")
        return
    print(f"\n{'task in R':<62} {'CPU s':>8} {'ours':>7} {'ratio':>7}")
    for name, seconds, done in peers:
        if mine := ours.get(name):
            note = name if done == 1 else f"{name} (R: {done:.0%} of them, scaled up)"
            print(f"{note:<62} {seconds / done:>8.2f} {mine:>7.2f} {seconds / done / mine:>7.1f}")


def main() -> None:
    """Print one row per task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=100_000, help="patients")
    parser.add_argument("--only", default="", help="tasks whose name holds this text")
    parser.add_argument("--share", type=float, default=0.02, help="of the resamples that R's peers do")
    args = parser.parse_args()
    print(f"{args.n:,} patients\n")
    print(f"{'task':<62} {'package':<13} {'CPU s':>7} {'wall s':>7} {'peak MB':>8}")
    spawn, ours = multiprocessing.get_context("spawn"), {}
    for key in TASKS:
        if args.only not in key[0]:
            continue
        with spawn.Pool(1) as pool:
            found = pool.apply(partial(measure, key, args.n))
        if found is not None:
            cpu, wall, memory = found
            if key[1] == OURS:
                ours[key[0]] = cpu
            print(f"{key[0]:<62} {key[1]:<13} {cpu:>7.2f} {wall:>7.2f} {memory:>8.0f}", flush=True)
    print_ratios(ours, args)


if __name__ == "__main__":
    main()
