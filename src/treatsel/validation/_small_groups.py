"""Disclosure control of a report: no figure describes a group so small that it tells of single patients.

The rules are those of `treatsel._disclosure`, applied to groups of patients with similar predictions, to
thresholds between such groups, and to the patients for whom two policies differ.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, reaches
from treatsel._disclosure import (
    SMALLEST_GROUP,
    is_small,
    is_telling,
    joined_groups,
    smooth_quantile,
    suppressed,
)
from treatsel._stats.intervals import wilson

NAN = float("nan")
FEW = f"not reported: fewer than {SMALLEST_GROUP} patients"
MANY = 100 * SMALLEST_GROUP  # patients of whom the 1st percentile has at least five below it
GRID = 101
KNOT_DIGITS = 2  # of the stated knots of a calibration curve, which are predictions of patients


def merged_groups(groups: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the calibration groups, merged where they are so small that they tell of patients."""
    parts = [_merged(part, level) for _, part in groups.groupby("arm", sort=False)]
    return pd.concat(parts, ignore_index=True)


def _merged(groups: pd.DataFrame, level: float) -> pd.DataFrame:
    number = joined_groups(groups["n"], groups["n_events"])
    if len(set(number)) == len(groups) and number.min() >= 0:
        return groups
    groups = groups[number >= 0]
    number = number[number >= 0]
    n, events, predicted = (
        np.asarray(np.bincount(number, weights=np.asarray(values, dtype=float)), dtype=np.float64)
        for values in (groups["n"], groups["n_events"], groups["n"] * groups["predicted"])
    )
    lower, upper = wilson(events, n, level)
    table = groups.iloc[: len(n)].copy()
    table[["group", "n", "n_events"]] = np.column_stack([np.arange(1, len(n) + 1), n, events]).astype(int)
    table[["predicted", "observed", "lower", "upper"]] = np.column_stack(
        [predicted / n, events / n, lower, upper]
    )
    return table


def ends_of(predictions: FloatArray) -> FloatArray | None:
    """Return where to draw the curve of a small group: between the means of its five extreme predictions.

    None: from the 1st to the 99th percentile, beyond which five patients or more have their predictions.
    """
    if len(predictions) >= MANY:
        return None
    low, high = smooth_quantile(predictions, 0.0), smooth_quantile(predictions, 1.0)
    if np.isnan(low):  # fewer than five patients: no point of their curve is shown
        return np.empty(0)
    return np.linspace(low, high, GRID) if high > low else np.array([low])


def group_count(n: int, most: int = 5) -> int:
    """Return into how many groups of at least 10 patients of two arms to divide `n` patients."""
    return max(min(most, n // (2 * SMALLEST_GROUP)), 1)


def safe_shares(n: int, most: int = 20) -> FloatArray:
    """Return the shares of `n` patients at which to evaluate a curve: at least 5 patients apart."""
    step = max(-(-most * SMALLEST_GROUP // max(n, 1)), 1)
    return np.unique(np.append(np.arange(step, most - step + 1, step), most)) / most


def without_small_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the figures of rows in which a number of patients is small."""
    counts = [name for name in table.columns if name == "n" or str(name).endswith("_n")]
    small = np.array([is_small(table[name].to_numpy(dtype=float)) for name in counts]).any(axis=0)
    keep = pd.Series(~np.asarray(small), index=table.index)
    numbers = table.select_dtypes("number").columns
    return table.assign(**{name: table[name].where(keep) for name in numbers}) if small.any() else table


def rounded_knots(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the fits with rounded knots."""
    knots = [tuple(round(knot, KNOT_DIGITS) for knot in row) for row in fits["knots"]]
    return fits.assign(knots=pd.Series(knots, index=fits.index, dtype=object))


def safe_thresholds(thresholds: FloatArray, predictions: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return the thresholds between which, below and above which there is no telling group of patients."""
    n = np.array([reaches(predictions, threshold).sum() for threshold in thresholds], dtype=float)
    events = np.array([outcome[reaches(predictions, threshold)].sum() for threshold in thresholds])
    ends = [(float(len(outcome)), float(outcome.sum()))]  # at or above the last threshold that was kept
    kept: list[int] = []
    for position, end in enumerate(zip(n, events, strict=True)):
        if not is_telling(ends[-1][0] - end[0], ends[-1][1] - end[1]):
            kept.append(position)
            ends.append(end)
    while kept and is_telling(*ends[-1]):
        kept.pop()
        ends.pop()
    return thresholds[kept]


def is_telling_split(predictions: FloatArray, outcome: FloatArray, threshold: float) -> bool:
    """Whether the patients above, or below, a threshold are so few that they are told."""
    return len(safe_thresholds(np.array([threshold]), predictions, outcome)) == 0


def disclosed_recommendations(flow: pd.DataFrame) -> pd.DataFrame:
    """Return the flow without small counts of recommendations."""
    return flow.assign(n_recommended=suppressed(flow["n_recommended"]))


def without_few_discordant(report: Any) -> Any:
    """Return a report without gains if the recommendations of 1 to 4 patients differ from the best arm.

    Such a gain is the outcome of these patients, divided by the number of all.
    """
    if not is_small(report.gain.n_discordant):
        return report
    figures = report.figures.copy()
    rows = figures["section"].isin(["gain", "naive", "confounding", "missing outcomes", "utility"])
    rows |= figures["measure"].str.startswith(("gain", "recommended arm"))
    figures.loc[rows, ["value", "lower", "upper"]] = NAN
    what = "the recommendations differ from the best single arm"
    figures.loc[rows, "method"] = reason = f"not estimable: {what} in fewer than {SMALLEST_GROUP} patients"
    nothing: dict[str, Any] = dict.fromkeys(("value", "lower", "upper", "se", "p_value"), NAN)
    nothing["n_discordant"] = None
    left = ["choice curve", "confounding", "missing outcomes", "decision curve", "decision curve differences"]
    left += ["delta-adjusted", "tipping shifts"]
    tables = {name: table for name, table in report.tables.items() if name not in left}
    return replace(
        report, figures=figures, tables=tables, gain=replace(report.gain, **nothing, method=reason)
    )
