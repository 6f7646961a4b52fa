"""Cross-validate on real trials: gain over the best single arm, and calibration of each arm.

    python -m benchmarks.selection.real [--data FOLDER] [--trials NAME ...] [--methods NAME ...] [--repeats 5]
    python -m benchmarks.selection.real --scored     only outcomes with a score, 2 minutes without the stack

REAL.md is written with `--out`, for all trials but `ist`, with the hierarchical model and per-arm logistic.
Most outcomes are thresholds of a score that the trial has: "hierarchical, score" learns from its signed
distance to the threshold, on the same folds.

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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.selection.methods import METHODS, Method, exists, fit_ours
from treatsel._stats.folds import balanced_folds
from treatsel.metrics import MIN_CLUSTERS, Estimate, Gain, aipw_scores, calibration_slope, gain_over_best_arm
from treatsel.outcome import Outcome

DATA = Path(os.environ.get("TREATSEL_DATA", Path(__file__).parents[2].resolve().parent / "shared" / "data"))
DEFAULT_METHODS = ["hierarchical", "hierarchical, score", "stacked", "ridge interaction", "per-arm logistic"]
SCORED = Method(
    name="hierarchical, score", fit=fit_ours("HierarchicalClassifier"), sees_site=True, sees_score=True
)
ALL_METHODS = (METHODS[0], SCORED, *METHODS[1:])
SHORT = 5000  # trials with more patients are cross-validated once


@dataclass(frozen=True)
class Trial:
    """File, outcome (1 is good), known allocation and score of an analysis.

    `outcome`: a column; None if the score alone defines it. `shares`: None stands for the observed shares.
    `distance`: from the table to the signed distance of the score, positive in case of the good outcome.
    """

    file: str
    outcome: str | None
    shares: dict[str, float] | None
    distance: Callable[[pd.DataFrame], pd.Series] | None = None


def hamilton(name: str, **columns: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Return the signed distance of a named outcome on HAM-D17."""
    return lambda frame: Outcome.get(name, instrument="HAM-D17").distance(frame, **columns)


HALVES = {"thp_cbt": 0.5, "enhanced_usual_care": 0.5}
HEPARIN = {"no_heparin": 0.25, "low_heparin": 0.125, "medium_heparin": 0.125}
WEEKS = {"first": "hamd17_bl", "last": "hamd17_wk6"}
TRIALS = {
    "thp_pakistan": Trial("thp_pakistan", "remission_6m", HALVES),
    "thp_pakistan, HAM-D 6 months": Trial(
        "thp_pakistan", None, HALVES, hamilton("remission", last="hamd_6m")
    ),
    "thp_pakistan, HAM-D 12 months": Trial(
        "thp_pakistan", None, HALVES, hamilton("remission", last="hamd_12m")
    ),
    "bcrp": Trial(
        "bcrp",
        "improved_9m",
        dict.fromkeys(["education", "nutrition", "standard_care"], 1 / 3),
        lambda frame: frame["cesd_bl"] - frame["cesd_9m"] - 0.5,  # whole numbers: improved is 1 or more
    ),
    "dia_antidepressant": Trial("dia_antidepressant", "response_wk6", None, hamilton("response", **WEEKS)),
    "dia_antidepressant, remission": Trial(
        "dia_antidepressant", "remission_wk6", None, hamilton("remission", last="hamd17_wk6")
    ),
    "actg175": Trial(
        "actg175",
        "cd4_up20",
        dict.fromkeys(["zdv", "zdv_ddi", "zdv_zal", "ddi"], 0.25),
        lambda frame: frame["cd420"] - frame["cd40"] + 0.5,  # whole numbers: up is 0 or more
    ),
    "ist": Trial(
        "ist",
        "alive_independent_6m",
        {f"{aspirin}_{h}": p for aspirin in ("aspirin", "no_aspirin") for h, p in HEPARIN.items()},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Patients with a known outcome: X with ``arm`` and ``site``, if there is one; y; score; propensities."""

    X: pd.DataFrame
    y: pd.Series
    score: pd.Series | None
    site: pd.Series | None
    propensities: pd.DataFrame


def read(name: str, data: Path) -> Cohort:
    """Read a trial; patients without the outcome are left out."""
    trial = TRIALS[name]
    entry = json.loads((data / "manifest.json").read_text())[trial.file]
    frame = pd.read_csv(data / entry["file"], dtype={entry["site"]: str} if entry["site"] else None)
    score = trial.distance(frame) if trial.distance else None
    y = frame[trial.outcome] if trial.outcome else (score > 0).where(score.notna())
    known = y.notna()
    frame, y = frame[known].reset_index(drop=True), y[known].astype(float).reset_index(drop=True)
    if score is not None:
        score = score[known].reset_index(drop=True)
        if not ((score > 0) == (y == 1)).all():
            raise SystemExit(f"{name}: the sign of the score is not the outcome in some patients.")
    X = frame[entry["covariates"]].assign(arm=frame[entry["arm"]])
    site = frame[entry["site"]].rename("site") if entry["site"] else None
    arms = sorted(X["arm"].unique())
    shares = trial.shares or X["arm"].value_counts(normalize=True).to_dict()
    row = [shares[arm] for arm in arms]
    return Cohort(
        X=X if site is None else X.assign(site=site),
        y=y,
        score=score,
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
        given = {"score": cohort.score.iloc[rest]} if method.sees_score else {}
        model = method.fit(X.iloc[rest], cohort.y.iloc[rest], repeat, site, **given)
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


def verdict(results: dict[tuple[str, str], Result]) -> str:
    """Return the analyses in which a method does significantly worse than the best single arm."""
    worse = [
        f"{method} on {name} ({interval(result.gain, 3)})"
        for (name, method), result in results.items()
        if result.gain.upper < 0
    ]
    listed = "; ".join(worse) or "none"
    return f"Significantly worse than the best arm of the other folds (interval below 0): {listed}."


def main() -> None:
    """Print one row per trial and method; write them to a file on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--trials", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--scored", action="store_true", help="only outcomes with a score")
    names = [method.name for method in ALL_METHODS]
    parser.add_argument("--methods", nargs="+", default=DEFAULT_METHODS, choices=names)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="report to write")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [method for method in ALL_METHODS if method.name in args.methods]
    for method in chosen:
        if not exists(method):
            print(f"not in treatsel.models yet, left out: {method.name}", file=sys.stderr)
    print(HEADER, flush=True)
    results, rows = {}, []
    for name in args.trials:
        if args.scored and TRIALS[name].distance is None:
            continue
        cohort = read(name, args.data)
        repeats = 1 if len(cohort.y) > SHORT else args.repeats
        for method in filter(exists, chosen):
            if cohort.score is None and method.sees_score:
                continue
            results[name, method.name] = evaluate(method, cohort, repeats)
            rows.append(row(name, method.name, results[name, method.name]))
            print(rows[-1], flush=True)
    print(verdict(results))
    if args.out is not None:
        args.out.write_text(report(rows, results, args.repeats))


def report(rows: list[str], results: dict[tuple[str, str], Result], repeats: int) -> str:
    """Return the report in Markdown."""
    intro = (
        f"Written by `python -m benchmarks.selection.real`; do not edit. {repeats} times 5-fold "
        "cross-validation; the outcome is 0/1 for all methods but those with a score, which learn from the "
        "signed distance of the score to the threshold that defines the outcome. Gains are proportions."
    )
    return "\n".join(["# Real trials\n", f"{intro}\n", f"{verdict(results)}\n", HEADER, *rows, ""])


if __name__ == "__main__":
    main()
