"""Cross-validate on real trials: gain over the best single arm, and calibration of each arm.

    python -m benchmarks.selection.real [--data FOLDER] [--trials NAME ...] [--methods NAME ...] [--repeats 5]

Folds keep sites together if there are sites. The gain is doubly robust with the known allocation. It is
given over the arm that was best in the other folds, and over the arm that is best in the same data. The
latter is conservative, because the best of several noisy means is too high, and more so with more arms.
Intervals are cluster-robust by site, or by patient over the repeats.

If nothing can be predicted, slopes are negative: a fold with better outcomes than the others is predicted
from folds with worse outcomes. The data are not part of this project.
"""

import argparse
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.selection.methods import METHODS, Method, exists
from treatsel._stats.folds import balanced_folds
from treatsel.metrics import MIN_CLUSTERS, Estimate, Gain, aipw_scores, calibration_slope, gain_over_best_arm

DATA = Path(os.environ.get("TREATSEL_DATA", Path(__file__).parents[2].resolve().parent / "shared" / "data"))
DEFAULT_METHODS = ["hierarchical", "stacked", "ridge interaction", "per-arm logistic"]
SHORT = 5000  # trials with more patients are cross-validated once


@dataclass(frozen=True)
class Trial:
    """Outcome (1 is good) and known allocation; None: the observed shares."""

    outcome: str
    shares: dict[str, float] | None


HEPARIN = {"no_heparin": 0.25, "low_heparin": 0.125, "medium_heparin": 0.125}
TRIALS = {
    "thp_pakistan": Trial("remission_6m", {"thp_cbt": 0.5, "enhanced_usual_care": 0.5}),
    "bcrp": Trial("improved_9m", dict.fromkeys(["education", "nutrition", "standard_care"], 1 / 3)),
    "dia_antidepressant": Trial("response_wk6", None),
    "actg175": Trial("cd4_up20", dict.fromkeys(["zdv", "zdv_ddi", "zdv_zal", "ddi"], 0.25)),
    "ist": Trial(
        "alive_independent_6m",
        {f"{aspirin}_{h}": p for aspirin in ("aspirin", "no_aspirin") for h, p in HEPARIN.items()},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Patients with a known outcome: X with ``arm`` and ``site``, if there is one; y; propensities."""

    X: pd.DataFrame
    y: pd.Series
    site: pd.Series | None
    propensities: pd.DataFrame


def read(name: str, data: Path) -> Cohort:
    """Read a trial; patients without the outcome are left out."""
    trial, entry = TRIALS[name], json.loads((data / "manifest.json").read_text())[name]
    frame = pd.read_csv(data / entry["file"], dtype={entry["site"]: str} if entry["site"] else None)
    frame = frame[frame[trial.outcome].notna()].reset_index(drop=True)
    X = frame[entry["covariates"]].assign(arm=frame[entry["arm"]])
    site = frame[entry["site"]].rename("site") if entry["site"] else None
    arms = sorted(X["arm"].unique())
    shares = trial.shares or X["arm"].value_counts(normalize=True).to_dict()
    row = [shares[arm] for arm in arms]
    return Cohort(
        X=X if site is None else X.assign(site=site),
        y=frame[trial.outcome].astype(float),
        site=site,
        propensities=pd.DataFrame(np.tile(row, (len(X), 1)), index=X.index, columns=arms),
    )


BEST = "best arm of the other folds"


def out_of_fold(method: Method, cohort: Cohort, repeat: int) -> pd.DataFrame:
    """Return the by-arm table of each patient from a model fitted without this patient and site.

    The column `BEST` names the arm with the best outcomes among the patients used to fit the model.
    """
    folds = balanced_folds(cohort.X["arm"], cohort.y.to_numpy(), groups=cohort.site, random_state=repeat)
    site = None if cohort.site is None or not method.sees_site else "site"
    X = cohort.X if site else cohort.X.drop(columns="site", errors="ignore")
    new = cohort.X.drop(columns=["arm", "site"], errors="ignore")
    parts = []
    for rest, fold in folds:
        model = method.fit(X.iloc[rest], cohort.y.iloc[rest], repeat, site)
        best = cohort.y.iloc[rest].groupby(cohort.X["arm"].iloc[rest]).mean().idxmax()
        parts.append(model.predict_by_arm(new.iloc[fold]).assign(**{BEST: best}))
    return pd.concat(parts).loc[cohort.X.index, [*cohort.propensities.columns, BEST]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of one method on one trial.

    `gain` is over the best arm of the other folds, `hard_gain` over the best arm of the same data; `differs`
    is the share of patients for whom the recommended arm is not the best arm of the other folds; `slopes`
    are by arm.
    """

    n: int
    gain: Gain
    hard_gain: Gain
    differs: float
    slope: Estimate
    slopes: dict[str, Estimate]
    seconds: float


def evaluate(method: Method, cohort: Cohort, repeats: int) -> Result:
    """Cross-validate; repeats of a patient count as one patient."""
    started = time.perf_counter()
    tables = [out_of_fold(method, cohort, repeat) for repeat in range(repeats)]
    seconds = (time.perf_counter() - started) / repeats
    by_arm = pd.concat(tables, ignore_index=True)
    best = by_arm.pop(BEST)
    y = np.tile(cohort.y.to_numpy(), repeats)
    received = np.tile(cohort.X["arm"].to_numpy(), repeats)
    propensities = pd.concat([cohort.propensities] * repeats, ignore_index=True)
    scores = aipw_scores(y, received, by_arm, propensities)
    recommended = by_arm.idxmax(axis=1)
    clustered = cohort.site is not None and cohort.site.nunique() >= MIN_CLUSTERS
    units = np.tile(cohort.site.to_numpy() if clustered else np.arange(len(cohort.y)), repeats)
    own_best = scores.to_numpy()[np.arange(len(y)), scores.columns.get_indexer(best)]
    own = by_arm.to_numpy()[np.arange(len(y)), by_arm.columns.get_indexer(received)]
    weight = np.full(len(y), 1 / repeats)
    return Result(
        n=len(cohort.y),
        gain=gain_over_best_arm(
            scores.assign(**{BEST: own_best}), recommended, comparator=BEST, clusters=units
        ),
        hard_gain=gain_over_best_arm(scores, recommended, clusters=units),
        differs=float((recommended != best).mean()),
        slope=calibration_slope(y, own, sample_weight=weight),
        slopes={
            arm: calibration_slope(
                y[received == arm], own[received == arm], sample_weight=weight[received == arm]
            )
            for arm in by_arm.columns
        },
        seconds=seconds,
    )


def interval(estimate: Estimate | Gain, digits: int) -> str:
    return f"{estimate.value:.{digits}f} ({estimate.lower:.{digits}f} to {estimate.upper:.{digits}f})"


def row(name: str, method: str, result: Result) -> str:
    """Return one line of the table."""
    slopes = ", ".join(f"{arm} {interval(slope, 2)}" for arm, slope in result.slopes.items())
    cells = [name, str(result.n), method, interval(result.gain, 3), interval(result.hard_gain, 3)]
    cells += [f"{result.differs:.0%}"]
    return f"| {' | '.join([*cells, interval(result.slope, 2), slopes, f'{result.seconds:.1f}'])} |"


HEADER = (
    "| trial | n | method | gain over the best arm of other folds (95 %) | over the best arm of these data "
    "| other arm | calibration slope (95 %) | slope by arm | s a repeat |\n" + "|---" * 9 + "|"
)


def main() -> None:
    """Print one row per trial and method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--trials", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--methods", nargs="+", default=DEFAULT_METHODS, choices=[m.name for m in METHODS])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [method for method in METHODS if method.name in args.methods]
    for method in chosen:
        if not exists(method):
            print(f"not in treatsel.models yet, left out: {method.name}", file=sys.stderr)
    print(HEADER, flush=True)
    for name in args.trials:
        cohort = read(name, args.data)
        repeats = 1 if len(cohort.y) > SHORT else args.repeats
        for method in filter(exists, chosen):
            print(row(name, method.name, evaluate(method, cohort, repeats)), flush=True)


if __name__ == "__main__":
    main()
