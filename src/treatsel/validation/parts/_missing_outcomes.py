"""Part: figures by how much worse patients with a lost outcome fared, and bounds."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._disclosure import is_small
from treatsel._reporting.format import points
from treatsel._stats.by_arm_tables import cells_of, shares_of
from treatsel.metrics.missing import (
    FARTHEST,
    RATIO,
    RECOMMENDED,
    SHIFTS,
    delta_adjusted,
    gain_missing_bounds,
    missing_outcome_bounds,
)
from treatsel.validation._lost import expected_of
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity, row

TOLD = (0.0, 0.5, 1.0, 2.0)  # shifts of which there are figures; the table has more


def missing_outcomes(task: ValidationTask, policies: Policies) -> PartResult:
    """Return delta-adjusted gain and observed / expected, and bounds on rates and gain."""
    if task.seen.all():
        return PartResult()
    bounds, shifted = _bounds(task, policies), _shifted(task, policies)
    return PartResult(
        figures=[*shifted.figures, *bounds.figures],
        tables=shifted.tables | bounds.tables,
        cautions=[*shifted.cautions, *bounds.cautions],
    )


def _shifted(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the gain, and observed / expected, by the shift of lost outcomes; nothing without weights."""
    if task.weight is None:
        return PartResult()
    data = _Given.of(task, policies)
    if (lost := int(np.isnan(data.y).sum())) == 0 or is_small(
        lost
    ):  # all others received an arm without outcomes
        return PartResult()
    found = delta_adjusted(data.y, **data.patients, comparator=data.comparator, **data.options)
    table, tipping = found.to_frame(), found.tipping
    if not task.good:  # the rate of the outcome itself, which is higher where patients fare worse
        event = data.turned()
        again = delta_adjusted(event.y, **event.patients, **data.options, shifts=[-x for x in SHIFTS])
        ratio = again.table[again.table["measure"] == RATIO]
        table = pd.concat([table[table["measure"] != RATIO], ratio.assign(shift=-ratio["shift"])])
    if is_small(data.n_moved):  # their number would follow from how the gain changes
        table, tipping = (each[each["lost"] != RECOMMENDED] for each in (table, tipping))
    table = table.reset_index(drop=True)
    rows = [
        row(
            "missing outcomes",
            f"{line['measure'] if line['measure'] == RATIO else 'gain over the best single arm'}, "
            f"{line['lost']} worse by {line['shift']:g}",
            *(line[key] for key in ("value", "lower", "upper")),
            n=found.n,
            method=f"pattern-mixture, shift in logits; {found.method}",
        )
        for line in table[table["shift"].isin(TOLD)].to_dict(orient="records")
    ]
    # none of the shifts sought: without a value, as JSON has no infinity
    tables = {"delta-adjusted": table, "tipping shifts": tipping.replace([np.inf, -np.inf], np.nan)}
    text = _tipping_in_words(tipping)
    few = not policies.gain.n_discordant or is_small(policies.gain.n_discordant)
    cautions = [] if few else [Caution(Severity.LOST, text)]
    return PartResult(figures=rows, tables=tables, cautions=cautions)


SIGN = "its sign would change"


def _tipping_in_words(tipping: pd.DataFrame) -> str:
    line = tipping.iloc[-1]
    whose = str(line["lost"])
    texts = []
    for name, what in (("tipping_limit", "its interval would include 0"), ("tipping_estimate", "its sign")):
        size = float(line[name])
        if name == "tipping_limit" and size == 0:
            continue
        how = (
            f"fared {'worse' if size > 0 else 'better'} by {abs(size):.1f} logits"
            if np.isfinite(size)
            else ""
        )
        if name == "tipping_estimate":
            what = "its sign would change"
        texts.append(f"{what} if they {how}" if how else f"{what} at no shift up to {FARTHEST:g} logits")
    return (
        f"If {whose} fared differently from others with the same arm, covariates and process columns, the "
        f"gain over the best single arm would change: {'; '.join(texts)}."
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Given:
    """Arguments of `delta_adjusted`, for the patients who received an arm with an observed outcome."""

    y: FloatArray
    patients: dict[str, Any]
    comparator: Any
    n_moved: int
    options: dict[str, Any]

    @classmethod
    def of(cls, task: ValidationTask, policies: Policies) -> "_Given":
        """Return them for the good outcome."""
        arms = list(policies.table.columns)
        there = task.received.isin(arms).to_numpy()
        y = (task.y if task.good else 1 - task.y).to_numpy(dtype=float)[there]
        table = (task.by_arm[arms] if task.good else 1 - task.by_arm[arms])[there]
        received = task.received[there]
        recommended = policies.recommended_all[there]
        comparator = policies.best_single_arm(there)
        against = shares_of(pd.Series(comparator, index=table.index).to_numpy(dtype=object), table.columns)
        moved, labels = recommended - against, received.to_numpy(dtype=object)
        groups = task.all_clusters_of_means
        return cls(
            y=y,
            patients={
                "received": received,
                "by_arm": table,
                "propensity": policies.propensity_all[there],
                "recommended": recommended,
                "observation": task.chance_observed[there],
                "expected": expected_of(table, received, task.process[there], y),
            },
            comparator=comparator,
            n_moved=int(((cells_of("received", labels, moved) > 0) & np.isnan(y)).sum()),
            options={"clusters": None if groups is None else groups[there], "level": task.level},
        )

    def turned(self) -> "_Given":
        """Return them for the opposite outcome."""
        tables = {name: 1 - self.patients[name] for name in ("by_arm", "expected")}
        return replace(self, y=1 - self.y, patients=self.patients | tables)


def _bounds(task: ValidationTask, policies: Policies) -> PartResult:
    """Return bounds on rates and gain under extreme assumptions about the missing outcomes."""
    y, received = task.y if task.good else 1 - task.y, task.received
    arms = list(policies.table.columns)
    whole = task.by_arm[arms] if task.good else 1 - task.by_arm[arms]
    rates = missing_outcome_bounds(y, received, level=task.level).to_frame()
    there, groups = received.isin(arms).to_numpy(), task.all_clusters
    bounds = gain_missing_bounds(
        y[there],
        received[there],
        whole[there],
        policies.propensity_all[there],
        policies.recommended_all[there],
        comparator=policies.best_single_arm(there),
        clusters=None if groups is None else groups[there],
        level=task.level,
    ).to_frame()
    tables = {"missing outcomes": pd.concat([rates, bounds], ignore_index=True)}
    rows = [
        row(
            "missing outcomes",
            f"gain over the best single arm, {found['scenario']}",
            *(found[key] for key in ("value", "lower", "upper")),
            n=found["n"],
            method=found["method"],
        )
        for found in bounds.to_dict(orient="records")
    ]
    lowest, highest = (bounds.set_index("scenario").loc[name] for name in ("lowest", "highest"))
    caution = (
        "If the missing outcomes were as unfavorable as possible to the recommendations, the gain would be "
        f"{points(lowest['value'])}; if as favorable as possible, {points(highest['value'])}."
    )
    sure = (policies.gain.lower > 0 and lowest["lower"] <= 0) or (policies.gain.upper < 0 <= highest["upper"])
    severity = Severity.MAY_OVERTURN if sure else Severity.LOST
    cautions = [Caution(severity, caution)] if policies.gain.n_discordant else []
    return PartResult(figures=rows, tables=tables, cautions=cautions)
