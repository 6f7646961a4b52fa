"""What known services, therapists, process data and published estimates add; write INFORMATION.md.

    python -m benchmarks.selection.information --n 300 1000 --seeds 6      about 10 minutes on two cores
    python -m benchmarks.selection.information --parts one_arm --seeds 20  one part; the others are kept

Each part changes the processes of `records.py`. **Services**: 12 services with effects, and effects by arm,
of SD 0.4 logits; the patients of the test sit in the same services. **Lost outcomes**: 40 % drop out, more of
them with a poor prognosis; their logit is lower by 1.2, and 70 % of their outcomes are lost (5 % of the
others'). **Published estimates**: log odds ratios of all arms against the first, with standard errors of 0.15
for each arm, right or off by normal errors with SD 0.5. **Therapists**: in these services, two therapists
give each arm, with effects of SD 0.4 logits; the truth is a mean over therapists. **One arm at one site**:
the first arm is given at one of the services only, to half of the patients there; the truth is that of the
average service.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from benchmarks.selection.engine import N_DRAWN, end_score
from benchmarks.selection.process import Process, Sample
from benchmarks.selection.records import RECORDS
from benchmarks.selection.scores import calibration_slope, contrasts, policy_scores, root_mean_square
from benchmarks.selection.sections import update
from treatsel.models import DropoutMixture, HierarchicalClassifier, Priors

N_TEST = 4000
SERVICES = 12
SD = 0.4
WORSE, LOST, LOST_OTHERS = 1.2, 0.7, 0.05
THERAPISTS = 2  # of each arm at a service
NEW_SERVICES = 200  # whose means are compared with the intervals for a new service
COLUMNS = {
    "gain": ("Mean gain over all processes including the null, points", 2),
    "null": ("Gain under the null, points", 2),
    "fraction": ("Fraction of the oracle gain", 3),
    "rmse": ("RMSE of probabilities, points", 1),
    "ici": ("Mean absolute miscalibration (50 groups), points", 1),
    "slope": ("Calibration slope", 2),
    "new_mean": ("Coverage of 95 % intervals of the mean of an arm at a new service, percent", 1),
    "new_difference": ("Coverage for a difference between two arm means at a new service, percent", 1),
    "own_difference": ("Coverage for a patient's difference between two arms at the own service, percent", 1),
    "one_mean": ("Coverage of 95 % intervals of the mean of the arm, over an average service, percent", 1),
    "one_width": ("Half-width of these intervals, points", 1),
    "one_difference": ("Coverage for its differences from the other arms, percent", 1),
    "difference_width": ("Half-width of the intervals of these differences, points", 1),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The by-arm table of the test patients, the model, the seconds of its fit, and further scores."""

    predicted: np.ndarray
    model: Any
    seconds: float
    more: dict[str, float] = field(default_factory=dict)


Cell = dict[str, Answer]  # by method


def redrawn(sample: Sample, truth: np.ndarray, rng: np.random.Generator) -> Sample:
    """Return the same patients with outcomes from other probabilities."""
    codes = sample.truth.columns.get_indexer(sample.X["arm"])
    y = rng.random(len(codes)) < truth[np.arange(len(codes)), codes]
    table = pd.DataFrame(truth, sample.truth.index, sample.truth.columns)
    return replace(
        sample, y=pd.Series(y.astype(float), sample.y.index), truth=table, oracle=truth.argmax(axis=1)
    )


def timed(
    model: Any, sample: Sample, test: pd.DataFrame, *, service: str = "known", **options: Any
) -> Answer:
    """Fit a model and predict the test patients."""
    started = time.perf_counter()
    fitted = model.fit(sample.X, sample.y, **options)
    seconds = time.perf_counter() - started
    by_arm = fitted.predict_by_arm(test, service) if service != "known" else fitted.predict_by_arm(test)
    predicted = by_arm[list(sample.truth.columns)].to_numpy()
    return Answer(predicted=predicted, model=fitted, seconds=seconds)


def logits_of(sample: Sample) -> np.ndarray:
    """Return the true logits, shape (n_patients, n_arms)."""
    return logit(sample.truth.to_numpy().clip(1e-6, 1 - 1e-6))


def effects_of_services(number: int, n_arms: int, rng: np.random.Generator) -> np.ndarray:
    """Draw effects of services, and effects by arm: shape (number, n_arms)."""
    return SD * rng.normal(size=(number, 1)) + SD * rng.normal(size=(number, n_arms))


def stream(sample: Sample, seed: int, part: int) -> np.random.Generator:
    """Return random numbers that differ between processes and sizes, since a seed has one set of services."""
    return np.random.default_rng([seed, part, len(sample.X), int(sample.y.sum())])


def placed(sample: Sample, at: np.ndarray) -> Sample:
    """Return the sample with the column of its services."""
    return replace(sample, X=sample.X.assign(service=[f"S{number:02d}" for number in at]))


def drawn(model: Any, rows: pd.DataFrame, arms: list[str], service: str = "known") -> np.ndarray:
    """Return draws of the probabilities, with arms in the given order."""
    return np.asarray(model.predict_draws(rows, service)[:, :, pd.Index(model.arms_).get_indexer(arms)])


def covered(draws: np.ndarray, truth: np.ndarray) -> float:
    """Return the percentage of 95 % intervals (over the first axis of the draws) that hold the truth."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return 100 * float(((low <= truth) & (truth <= high)).mean())


def half_width(draws: np.ndarray) -> float:
    """Return the mean half-width of 95 % intervals, in points."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return 50 * float((high - low).mean())


def services(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Add services to both samples; without, as a new, and as a known service, from 0/1 and from scores."""
    rng, n_arms = np.random.default_rng([seed, 41]), train.truth.shape[1]
    effects, both = effects_of_services(SERVICES, n_arms, rng), []
    for sample in (train, test):
        at = rng.integers(0, SERVICES, len(sample.X))
        both.append(placed(redrawn(sample, expit(logits_of(sample) + effects[at]), rng), at))
    train, test = both
    plain = replace(train, X=train.X.drop(columns="service"))
    rows, cells = test.X.drop(columns="arm"), {}
    for ending in ("", ", score"):
        score = -end_score(train, seed) if ending else None
        cells[f"without services{ending}"] = timed(HierarchicalClassifier(), plain, rows, score=score)
        model = HierarchicalClassifier(groups="service")
        cells[f"new service{ending}"] = timed(model, train, rows.drop(columns="service"), score=score)
        cells[f"known service{ending}"] = timed(model, train, rows, score=score)
    return cells, test


def lost(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Add dropout, which loses outcomes: complete cases, and the average over dropout."""
    rng, both, dropped = np.random.default_rng([seed, 43]), [], np.empty(0)
    for sample in (train, test):
        base = logits_of(sample)
        chance = expit(-0.45 - 0.6 * (base - base.mean()))
        codes = sample.truth.columns.get_indexer(sample.X["arm"])
        rows = np.arange(len(codes))
        dropped = (rng.random(len(codes)) < chance[rows, codes]).astype(float) if sample is train else dropped
        given = redrawn(sample, expit(base - WORSE * (dropped[:, None] if sample is train else 0)), rng)
        truth = chance * expit(base - WORSE) + (1 - chance) * expit(base)
        table = pd.DataFrame(truth, sample.truth.index, sample.truth.columns)
        both.append(replace(given, truth=table, oracle=truth.argmax(axis=1)))
    train, test = both
    gone = rng.random(len(dropped)) < np.where(dropped == 1, LOST, LOST_OTHERS)
    seen = replace(train, X=train.X[~gone], y=train.y[~gone], truth=train.truth[~gone])
    whole = replace(train, X=train.X.assign(dropout=dropped), y=train.y.mask(gone))
    rows, cells = test.X.drop(columns="arm"), {}
    for ending in ("", ", score"):
        scores = -end_score(train, seed)
        own, every = (scores[~gone], scores.mask(gone)) if ending else (None, None)
        cells[f"complete cases{ending}"] = timed(HierarchicalClassifier(), seen, rows, score=own)
        mixture = DropoutMixture(HierarchicalClassifier())
        cells[f"average over dropout{ending}"] = timed(mixture, whole, rows, score=every)
    return cells, test


def published(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Give published contrasts to the model: none, right, and wrong ones."""
    rng, arms, rows = np.random.default_rng([seed, 47]), list(train.truth), test.X.drop(columns="arm")
    means, se, n = logit(test.truth.mean()).to_numpy(), 0.15, len(arms)
    errors, off = se * rng.normal(size=n), 0.5 * rng.normal(size=n)
    cells = {"without": timed(HierarchicalClassifier(), train, rows)}
    for name, wrong in (("right", 0.0), ("wrong", 1.0)):
        estimate = means + errors + wrong * off
        contrasts = {
            (arm, arms[0]): (estimate[k] - estimate[0], se * 2**0.5) for k, arm in enumerate(arms[1:], 1)
        }
        priors = Priors(arm_contrasts=contrasts, contrast_correlation=(np.eye(n - 1) + 1) / 2)
        cells[f"{name} contrasts"] = timed(HierarchicalClassifier(priors=priors), train, rows)
    return cells, test


def over_therapists(logits: np.ndarray) -> np.ndarray:
    """Return probabilities as means over therapists, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    return sum(
        weight * expit(logits + SD * node)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True)
    )


def therapists(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Add services and therapists within them; coverage at the patient's own and at a new service."""
    rng, arms = stream(train, seed, 53), list(train.truth)
    effects = effects_of_services(SERVICES, len(arms), rng)
    of_therapists = SD * rng.normal(size=(SERVICES, len(arms), THERAPISTS))
    at, number = rng.integers(0, SERVICES, len(train.X)), rng.integers(0, THERAPISTS, len(train.X))
    given = expit(logits_of(train) + effects[at] + of_therapists[at, :, number])
    train = placed(redrawn(train, given, rng), at)
    names = [f"{arm} {k}" for arm, k in zip(train.X["arm"], number, strict=True)]
    whole = replace(train, X=train.X.assign(therapist=names))
    elsewhere = effects_of_services(NEW_SERVICES, len(arms), rng)
    means = np.stack([over_therapists(logits_of(test)[:N_DRAWN] + own).mean(axis=0) for own in elsewhere])
    at = rng.integers(0, SERVICES, len(test.X))
    test = placed(redrawn(test, over_therapists(logits_of(test) + effects[at]), rng), at)
    plain = replace(train, X=train.X.drop(columns="service"))
    rows, truth, cells = test.X.drop(columns="arm"), test.truth.to_numpy()[:N_DRAWN], {}
    for ending in ("", ", score"):
        score = -end_score(train, seed) if ending else None
        for name, sample, options in (
            ("without services", plain, {}),
            ("with services", train, {"groups": "service"}),
            ("with services and therapists", whole, {"groups": "service", "therapists": "therapist"}),
        ):
            answer = timed(HierarchicalClassifier(**options), sample, rows, score=score)
            new = drawn(answer.model, rows[:N_DRAWN], arms, "new").mean(axis=1)
            own = contrasts(drawn(answer.model, rows[:N_DRAWN], arms))
            more = {
                "new_mean": covered(new[:, None], means),
                "new_difference": covered(contrasts(new)[:, None], contrasts(means)),
                "own_difference": covered(own, contrasts(truth)),
            }
            cells[f"{name}{ending}"] = replace(answer, more=more)
    return cells, test


def one_arm(train: Sample, test: Sample, seed: int) -> tuple[Cell, Sample]:
    """Give the first arm at one service only; coverage of its mean over an average service."""
    rng, arms = stream(train, seed, 59), np.array(list(train.truth), dtype=object)
    effects = effects_of_services(SERVICES, len(arms), rng)
    at = rng.integers(0, SERVICES, len(train.X))
    codes = train.truth.columns.get_indexer(train.X["arm"])
    codes = np.where(codes == 0, rng.integers(1, len(arms), len(codes)), codes)
    codes = np.where((at == 0) & (rng.random(len(codes)) < 0.5), 0, codes)
    moved = placed(replace(train, X=train.X.assign(arm=arms[codes])), at)
    given = expit(logits_of(train) + effects[at])
    train = redrawn(moved, given, rng)
    while train.y.groupby(train.X["arm"]).nunique().min() < 2:  # no model is fitted to one class
        train = redrawn(moved, given, rng)
    plain = replace(train, X=train.X.drop(columns="service"))
    rows, cells = test.X.drop(columns="arm"), {}
    mean = test.truth.to_numpy()[:N_DRAWN].mean(axis=0)
    for ending in ("", ", score"):
        score = -end_score(train, seed) if ending else None
        for name, sample, groups in (("without services", plain, None), ("with services", train, "service")):
            model = HierarchicalClassifier(groups=groups)
            answer = timed(model, sample, rows, service="average", score=score)
            draws = drawn(answer.model, rows[:N_DRAWN], list(arms), "average").mean(axis=1)
            differences = draws[:, :1] - draws[:, 1:]
            more = {
                "one_mean": covered(draws[:, 0], mean[0]),
                "one_width": half_width(draws[:, 0]),
                "one_difference": covered(differences, mean[0] - mean[1:]),
                "difference_width": half_width(differences),
            }
            cells[f"{name}{ending}"] = replace(answer, more=more)
    return cells, test


PARTS: dict[str, tuple[str, Callable[[Sample, Sample, int], tuple[Cell, Sample]]]] = {
    "services": ("Known services", services),
    "lost": ("Lost outcomes", lost),
    "published": ("Published estimates", published),
    "therapists": ("Therapists", therapists),
    "one_arm": ("One arm at one site", one_arm),
}


def run(job: tuple[Process, int, int, str]) -> list[dict[str, Any]]:
    """Fit all methods of a part to one sample, and score them."""
    process, n, seed, part = job
    warnings.simplefilter("ignore")
    train, test = process.draw(n, seed), process.draw(N_TEST, seed, part="test")
    cells, test = PARTS[part][1](train, test, seed)
    truth, found = test.truth.to_numpy(), []
    for method, answer in cells.items():
        predicted = answer.predicted
        policy = policy_scores(predicted, truth, test.oracle)
        groups = np.array_split(np.argsort(predicted.ravel()), 50)
        away = [abs((predicted.ravel()[rows] - truth.ravel()[rows]).mean()) for rows in groups]
        found.append(
            {
                "part": part,
                "process": process.name,
                "n": n,
                "seed": seed,
                "method": method,
                "gain": 100 * policy["gain"],
                "null": np.nan if process.modified else 100 * policy["gain"],
                "fraction": policy["fraction"] if process.modified else np.nan,
                "rmse": 100 * root_mean_square(predicted - truth),
                "ici": 100 * float(np.mean(away)),
                "slope": calibration_slope(predicted, truth),
                "seconds": answer.seconds,
                **answer.more,
            }
        )
    return found


def shown(cells: pd.DataFrame, column: str, digits: int) -> str:
    """Return a table of methods by n: mean over processes, with its standard error over seeds."""
    by_seed = cells.groupby(["method", "n", "seed"], sort=False)[column].mean()
    mean, se = (getattr(by_seed.groupby(["method", "n"], sort=False), name)() for name in ("mean", "sem"))
    sizes = sorted(cells["n"].unique())
    rows = [f"| method | {' | '.join(f'n = {n:,}' for n in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
    for method in cells["method"].unique():
        values = [f"{mean[method, n]:.{digits}f} ({se[method, n]:.{digits}f})" for n in sizes]
        rows.append(f"| {method} | {' | '.join(values)} |")
    return "\n".join([*rows, ""])


def main() -> None:
    """Run all combinations, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "INFORMATION.md")
    args = parser.parse_args()
    jobs = list(product(RECORDS, args.n, range(args.seeds), args.parts))
    with ProcessPoolExecutor(args.jobs) as pool:
        cells = pd.DataFrame([row for rows in pool.map(run, jobs, chunksize=4) for row in rows])
    intro = (
        "Written by `python -m benchmarks.selection.information`; do not edit. The script describes the "
        "processes. In brackets: standard errors over seeds. All models are the hierarchical one."
    )
    sections = {}
    for part in args.parts:
        rows = cells[cells["part"] == part].dropna(axis="columns", how="all")
        tables = [f"Mean over {len(RECORDS)} processes and {args.seeds} seeds.\n"]
        for column, (label, digits) in COLUMNS.items():
            if column in rows:
                tables += [f"## {label}\n", shown(rows, column, digits)]
        sections[PARTS[part][0]] = "\n".join(tables)
    update(args.out, intro, sections)


if __name__ == "__main__":
    main()
