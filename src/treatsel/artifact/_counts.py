"""Which counts a model file may tell, so that none below `SMALL_CELL` can be read or computed from it.

A sum that is told (all patients, all whose outcome was observed) less the arms that are told gives the rest:
where one arm's count is left out, that of the next smallest is left out too (complementary suppression),
until the arms left out together are no small number.

References
----------
Hundepool et al. (2012), Statistical Disclosure Control. doi:10.1002/9781118348239
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import SMALL_CELL
from treatsel.artifact._structure import COUNTS, OVERLAP
from treatsel.selector import TreatmentSelector


@dataclass(frozen=True)
class Tellable:
    """What may be told as plain lists; None: a small count, or one that would tell a small count."""

    training: list[dict[str, Any]]
    overlap: dict[str, list[float | None]]
    performance: dict[str, list[dict[str, Any]]]


def tellable(selector: TreatmentSelector) -> Tellable:
    """Return counts, overlap and figures of a selector; what a file left out before stays left out."""
    table = selector.training_
    sizes = table.groupby("arm", sort=False)["n"].min()  # the same for each outcome; NaN: left out
    few = _with_complement(sizes, set(sizes.index[sizes.isna() | (sizes < SMALL_CELL)]))
    rows: list[dict[str, Any]] = []
    figures: dict[str, list[dict[str, Any]]] = {}
    for name in selector.outcomes_:
        part, figure = table[table["outcome"] == name].set_index("arm"), selector.performance_[name]
        observed, missing = part["n_observed"], part["n"] - part["n_observed"]
        small = (observed < SMALL_CELL) | ((missing > 0) & (missing < SMALL_CELL))
        hidden, told = few | set(part.index[observed.isna() | small]), figure["n"].max()
        if 0 < missing.sum(skipna=False) < SMALL_CELL:  # of all arms together: their sum would tell it
            told = np.nan
        elif not np.isnan(told):
            hidden = _with_complement(observed, hidden, missing)
        rows += [_row(name, arm, row, few, hidden) for arm, row in part.iterrows()]
        known = figure["n"].notna() & ((figure["n"] == told) | (not hidden))
        figures[name] = [
            {**{str(key): value for key, value in row.items()}, "n": int(row["n"]) if is_known else None}
            for row, is_known in zip(figure.to_dict(orient="records"), known, strict=True)
        ]
    return Tellable(training=rows, overlap=_overlap(selector, few), performance=figures)


def _with_complement(counts: pd.Series, hidden: set[Any], missing: pd.Series | None = None) -> set[Any]:
    """Return the arms to leave out: none, or two and more that are together no small number.

    Counts that a file left out are not known; it left out enough, but for files that left out one arm.
    """
    by_size = counts.sort_values(kind="stable").index
    hidden, waiting = set(hidden), [arm for arm in by_size if arm not in hidden]
    while hidden and waiting:
        group = counts[list(hidden)]
        lacking = 0.0 if missing is None else missing[list(hidden)].sum()
        small = group.notna().all() and (group.sum() < 2 * SMALL_CELL or 0 < lacking < SMALL_CELL)
        if len(hidden) >= 2 and not small:
            break
        hidden.add(waiting.pop(0))
    return hidden


def _row(
    outcome: Any, arm: Any, row: pd.Series, few: Collection[Any], hidden: Collection[Any]
) -> dict[str, Any]:
    n, observed, events = (float(row[key]) for key in COUNTS)
    if events < SMALL_CELL or observed - events < SMALL_CELL:
        events = np.nan
    n, observed = np.nan if arm in few else n, np.nan if arm in hidden else observed
    counts = {k: None if np.isnan(v) else int(v) for k, v in zip(COUNTS, (n, observed, events), strict=True)}
    return {"outcome": outcome, "arm": arm, **counts, "sufficient_events": bool(row["sufficient_events"])}


def _overlap(selector: TreatmentSelector, few: Collection[Any]) -> dict[str, list[float | None]]:
    """Return the overlap by arm: nothing of arms whose number is left out, no share of a few patients."""
    table = selector.assignment_.table.loc[selector.arms_, list(OVERLAP)].astype("float64")
    table.loc[list(few)] = np.nan
    n = float(selector.arm_means_["n"].max())
    count = np.round(table["share_low_propensity"] * n)
    rest = n - count
    small = ((count > 0) & (count < SMALL_CELL)) | ((rest > 0) & (rest < SMALL_CELL))
    table.loc[small, "share_low_propensity"] = np.nan
    return {name: [None if np.isnan(v) else float(v) for v in table[name]] for name in OVERLAP}
