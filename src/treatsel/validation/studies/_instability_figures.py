"""Figures of instability: how refits differ from the original model, in the patients it was developed on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP, is_small, suppressed
from treatsel._stats.resampling import percentile_interval
from treatsel._stats.ties import best_shares
from treatsel.metrics import calibration_curve, calibration_in_the_large, calibration_slope
from treatsel.validation._policies import Policies
from treatsel.validation._small_groups import ends_of
from treatsel.validation._task import ValidationTask
from treatsel.validation.studies._refits import BootstrapRefits

OVERALL = "overall"
LEVEL = 0.95
COLUMNS = ["measure", "group", "original", "value", "lower", "upper", "mc_error", "n"]
FEWEST = 2 * SMALLEST_GROUP  # patients of a group of similar predictions, or with the same recommended arm
MOST_BANDS = 20  # groups of similar predictions by arm: enough for a line
GRID = 41  # points of the calibration curves
NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Compared:
    """Original and refits, in the patients of a validation task.

    `refits`: of the patients of the task. `ties`: the arm that takes ties in every recommendation.
    """

    task: ValidationTask
    policies: Policies
    refits: BootstrapRefits
    ties: Any

    def tables(self) -> Iterator[FloatArray]:
        """Yield the predicted probabilities of each refit, shape (n_patients, n_arms)."""
        for table in self.refits.by_arm:
            yield table.astype(np.float64)

    def shares(self, table: FloatArray) -> FloatArray:
        """Return the share of each arm in each patient's recommendation by a table of predictions."""
        arms = list(self.task.by_arm.columns)
        position = arms.index(self.ties) if self.ties in arms else None
        # single precision: predictions of tied arms may differ by rounding
        return best_shares(table if self.task.good else 1 - table, position, tolerance=1e-6)


def figures_of(found: Compared) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of figures, and the values of each refit, one row each."""
    columns = [*_errors(found), *_recommendations(found), *_values(found), *_calibration(found)]
    runs = pd.DataFrame({(each.measure, each.group): each.runs for each in columns})
    rows = [each.row() for each in columns]
    return pd.DataFrame(rows, columns=COLUMNS), runs


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Spread:
    """A measure of one group: its value in each refit, that of the original model, and the patients."""

    measure: str
    group: str = OVERALL
    runs: FloatArray
    original: float = NAN
    n: int

    def row(self) -> dict[str, object]:
        """Return mean and percentiles over the refits, with the Monte Carlo error of the mean."""
        finite = self.runs[np.isfinite(self.runs)]
        limits = percentile_interval(self.runs, LEVEL)
        known = limits.lower == limits.lower
        return {
            "measure": self.measure,
            "group": self.group,
            "original": self.original,
            "value": float(finite.mean()) if known else NAN,
            "lower": limits.lower,
            "upper": limits.upper,
            "mc_error": float(finite.std(ddof=1) / np.sqrt(len(finite))) if known else NAN,
            "n": self.n,
        }


def _errors(found: Compared) -> list[Spread]:
    """Return the mean absolute prediction errors: of all arms, and of each."""
    original = found.task.by_arm.to_numpy(dtype=float)
    by_arm = np.array([np.abs(table - original).mean(axis=0) for table in found.tables()])
    n, arms = len(original), list(map(str, found.task.by_arm.columns))
    whole = Spread(measure="mape", runs=by_arm.mean(axis=1), original=0.0, n=n)
    each = [
        Spread(measure="mape", group=arm, runs=by_arm[:, k], original=0.0, n=n) for k, arm in enumerate(arms)
    ]
    return [whole, *each]


def _recommendations(found: Compared) -> list[Spread]:
    """Return the agreement of recommended arms, and the share of each arm in the recommendations.

    Patients are a group by the arm that the original model recommends. A tie that both models share in the
    same way is agreement.
    """
    original = found.shares(found.task.by_arm.to_numpy(dtype=float))
    n, arms = len(original), list(map(str, found.task.by_arm.columns))
    if len(arms) < 2:
        return []
    agreement, shares = [], []
    counts = original.sum(axis=0)
    for table in found.tables():
        now = found.shares(table)
        same = np.minimum(original, now).sum(axis=1)
        by_arm = original.T @ same / np.where(counts > 0, counts, NAN)
        agreement.append(np.append(same.mean(), by_arm))
        shares.append(now.mean(axis=0))
    of_each, shown = np.array(agreement), ~np.isnan(suppressed(np.round(counts)))
    told, share = np.array(shares), counts / n
    columns = [Spread(measure="recommendation_agreement", runs=of_each[:, 0], original=1.0, n=n)]
    for k, arm in enumerate(arms):
        if shown[k] and counts[k] >= FEWEST:  # a count would give those of small groups away
            columns.append(
                Spread(
                    measure="recommendation_agreement",
                    group=arm,
                    runs=of_each[:, 1 + k],
                    original=1.0,
                    n=round(counts[k]),
                )
            )
    for k, arm in enumerate(arms):
        known = float(share[k]) if shown[k] else NAN
        columns.append(Spread(measure="recommended", group=arm, runs=told[:, k], original=known, n=n))
    return columns


def _values(found: Compared) -> list[Spread]:
    """Return the doubly robust value of each refit's recommendations, and the gain over the best arm.

    The scores of a refit rest on its own predictions, so that those of patients it was not fitted to are
    cross-fitted. The best single arm is that of the original model.
    """
    policies, task = found.policies, found.task
    best = policies.gain.comparator_arm
    if policies.problem is not None or len(policies.table.columns) < 2 or best not in policies.table:
        return []
    given = task.by_arm.columns.get_indexer(policies.table.columns)
    position, seen = list(policies.table.columns).index(best), np.flatnonzero(task.seen)
    own = np.arange(len(seen)), policies.table.columns.get_indexer(pd.Index(task.arms))
    propensity = policies.propensity.to_numpy(dtype=float)[own]
    ties = list(policies.table.columns).index(found.ties) if found.ties in policies.table else None

    def of(whole: FloatArray, counts: FloatArray | None) -> tuple[float, float, float]:
        table = whole[seen][:, given]
        table = table if task.good else 1 - table
        scores = table.copy()
        scores[own] += (task.good_y - scores[own]) / propensity
        shares = best_shares(table, ties, tolerance=1e-6)
        others = 1 - shares[:, position]
        if is_small(round(float(others.sum()))):
            return NAN, NAN, NAN  # a gain would be the outcome of these few patients
        gains = (shares * scores).sum(axis=1) - scores[:, position]
        outside = np.zeros(len(seen), dtype=bool) if counts is None else counts[seen] == 0
        known = outside.any() and not is_small(round(float(others[outside].sum())))
        left_out = float(gains[outside].mean()) if known else NAN
        return float((shares * scores).sum(axis=1).mean()), float(gains.mean()), left_out

    pairs = zip(found.tables(), found.refits.counts, strict=True)
    runs = np.array([of(table, counts) for table, counts in pairs])
    before = of(task.by_arm.to_numpy(dtype=float), None)
    names = ("policy_value", "gain", "gain_out_of_bag")
    return [
        Spread(measure=name, runs=runs[:, j], original=before[j], n=len(seen)) for j, name in enumerate(names)
    ]


def _calibration(found: Compared) -> list[Spread]:
    """Return calibration slope and calibration in the large of each refit."""
    task = found.task
    if task.one_class is not None:
        return []
    weights: dict[str, Any] = {}
    if task.weight is not None:
        weights = {"sample_weight": task.weight, "weights_are": "sampling"}
    columns = []
    for name, function in (
        ("calibration_slope", calibration_slope),
        ("calibration_in_the_large", calibration_in_the_large),
    ):
        runs = [function(task.observed, own, **weights).value for own in _received(found)]
        before = function(task.observed, task.own, **weights).value
        columns.append(Spread(measure=name, runs=np.array(runs), original=before, n=len(task.observed)))
    return columns


def _received(found: Compared) -> Iterator[FloatArray]:
    """Yield each refit's predictions under the received arm, for patients with the outcome observed."""
    seen = np.flatnonzero(found.task.seen)
    columns = found.task.by_arm.columns.get_indexer(pd.Index(found.task.arms))
    for table in found.tables():
        yield table[seen, columns]


def bands_of(found: Compared) -> pd.DataFrame:
    """Return predictions of the refits in groups of patients with similar original predictions, by arm.

    Columns: arm, original (mean of the group), lower and upper (means of each patient's percentiles over the
    refits), n.
    """
    original = found.task.by_arm.to_numpy(dtype=float)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    lower, upper = np.quantile(found.refits.by_arm, tails, axis=0)
    rows = []
    for k, arm in enumerate(found.task.by_arm.columns):
        order = np.argsort(original[:, k], kind="stable")
        for mine in np.array_split(order, max(min(MOST_BANDS, len(order) // FEWEST), 1)):
            if len(mine) >= SMALLEST_GROUP:
                means = (original[mine, k].mean(), lower[mine, k].mean(), upper[mine, k].mean())
                rows.append((str(arm), *map(float, means), len(mine)))
    return pd.DataFrame(rows, columns=["arm", "original", "lower", "upper", "n"])


def curves_of(found: Compared) -> pd.DataFrame:
    """Return the calibration curve of the original model, and percentiles of those of the refits.

    Columns: predicted, original, lower, upper. Between the 1st and 99th percentile of the predictions; of
    each refit, between those of its own.
    """
    task, columns = found.task, ["predicted", "original", "lower", "upper"]
    if task.one_class is not None:
        return pd.DataFrame(columns=columns, dtype=float)
    ends = ends_of(task.own)
    low, high = np.quantile(task.own, [0.01, 0.99]) if ends is None else (ends.min(), ends.max())
    grid = np.linspace(low, high, GRID) if high > low else np.array([low])
    before = calibration_curve(task.observed, task.own, at=grid).to_frame()["observed"].to_numpy()
    runs = np.full((len(found.refits), len(grid)), NAN)
    for number, own in enumerate(_received(found)):
        inside = (grid >= np.quantile(own, 0.01)) & (grid <= np.quantile(own, 0.99))
        if inside.any():
            curve = calibration_curve(task.observed, own, at=grid[inside]).to_frame()
            runs[number, inside] = curve["observed"]
    limits = [percentile_interval(column, LEVEL) for column in runs.T]
    rows = [(x, y, one.lower, one.upper) for x, y, one in zip(grid, before, limits, strict=True)]
    return pd.DataFrame(rows, columns=columns)
