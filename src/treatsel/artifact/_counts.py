"""Small-count suppression in model files: `treatsel._disclosure` applied to counts by outcome and arm.

Two totals are disclosed: the number of patients, and for each outcome the number of patients in whom it was
observed. Counts by arm are suppressed such that no small count can be derived from either total.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._disclosure import is_disclosive, is_small, suppression
from treatsel.artifact._development import COUNTS
from treatsel.artifact._structure import OVERLAP
from treatsel.selector import TreatmentSelector


@dataclass(frozen=True)
class Disclosable:
    """Content that may be disclosed, as plain lists; None: suppressed."""

    training: list[dict[str, Any]]
    overlap: dict[str, list[float | None]]
    performance: dict[str, list[dict[str, Any]]]


def disclosable(selector: TreatmentSelector) -> Disclosable:
    """Return counts, overlap and performance; values that were suppressed in a file remain suppressed."""
    table = selector.training_
    sizes = table.groupby("arm", sort=False)["n"].min()  # equal for all outcomes; NaN: suppressed before
    few = set(sizes.index[suppression(sizes)])
    rows: list[dict[str, Any]] = []
    figures: dict[str, list[dict[str, Any]]] = {}
    for name in selector.outcomes_:
        part, figure = table[table["outcome"] == name].set_index("arm"), selector.performance_[name]
        observed, missing = part["n_observed"], part["n"] - part["n_observed"]
        # an arm in which the outcome was never observed is suppressed, too: its n is all missing
        primary = part.index.isin(list(few)) | observed.isna() | is_small(observed) | is_small(missing)
        primary, total = (primary | (observed == 0)).to_numpy(), figure["n"].max()
        hidden = set(part.index[primary])
        if is_small(missing.sum(skipna=False)):  # the two totals differ by a small count
            total = np.nan
        elif not np.isnan(total):
            hidden = set(
                part.index[suppression(observed, primary=primary, remainders=missing.to_numpy(dtype=float))]
            )
        rows += [_row(name, arm, row, few, hidden) for arm, row in part.iterrows()]
        known = figure["n"].notna() & ((figure["n"] == total) | (not hidden))
        figures[name] = [
            {**{str(key): value for key, value in row.items()}, "n": int(row["n"]) if is_known else None}
            for row, is_known in zip(figure.to_dict(orient="records"), known, strict=True)
        ]
    return Disclosable(training=rows, overlap=_overlap(selector, few), performance=figures)


def _row(
    outcome: Any, arm: Any, row: pd.Series, few: Collection[Any], hidden: Collection[Any]
) -> dict[str, Any]:
    n, observed, events = (float(row[key]) for key in COUNTS)
    if is_disclosive(events, observed) or events in (0.0, observed):  # 0 or all: describes every patient
        events = np.nan
    n, observed = np.nan if arm in few else n, np.nan if arm in hidden else observed
    counts = {k: None if np.isnan(v) else int(v) for k, v in zip(COUNTS, (n, observed, events), strict=True)}
    return {"outcome": outcome, "arm": arm, **counts, "sufficient_events": bool(row["sufficient_events"])}


def _overlap(selector: TreatmentSelector, few: Collection[Any]) -> dict[str, list[float | None]]:
    """Return the overlap by arm; None: arms whose n is suppressed, and shares that reveal a small count."""
    table = selector.assignment_.table.loc[selector.arms_, list(OVERLAP)].astype("float64")
    table.loc[list(few)] = np.nan
    n = float(selector.arm_means_["n"].max())
    count = np.round(table["share_low_propensity"] * n)
    table.loc[is_disclosive(count, n), "share_low_propensity"] = np.nan
    return {name: [None if np.isnan(v) else float(v) for v in table[name]] for name in OVERLAP}
