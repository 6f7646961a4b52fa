"""Part: performance by subgroup (columns with the role audit)."""

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import MIN_REPORTED, PartResult, row
from treatsel.validation.studies import MAX_GROUPS, subgroup_performance

MAX_CODES = 5  # a numeric column with more distinct values is cut at its quartiles


def subgroups(task: ValidationTask, policies: Policies) -> PartResult:
    """Return estimates by subgroup, for each column with the role audit."""
    book, y = task.cohort.codebook, task.observed
    names = [name for name in book.names("audit") if name in task.cohort.frame]
    if not names:
        why = "the codebook gives no column the role audit (for example sex, age group or ethnicity)"
        return PartResult(not_estimable=[("Estimates by subgroup (fairness)", why)])
    labels = pd.DataFrame({name: audited(task.cohort.frame.loc[task.seen, name]) for name in names})
    n_groups = labels.nunique()
    left = [
        (
            f"Estimates by {name}",
            f"it has {count_of(n, 'group')} of at least {MIN_REPORTED} patients; 2 to {MAX_GROUPS} can be "
            "compared",
        )
        for name, n in n_groups.items()
        if not 1 < n <= MAX_GROUPS
    ]
    labels = labels.loc[:, n_groups.between(2, MAX_GROUPS)]
    if not len(labels.columns):
        return PartResult(not_estimable=left)
    found = subgroup_performance(
        y,
        task.own,
        task.arms,
        labels,
        scores=None if policies.problem else policies.scores,
        recommended=policies.recommended,
        comparator=policies.best_single_arm(task.seen),
        level=task.level,
        **task.weights(),
    )
    table = found.to_frame()
    rows = [
        row(
            "subgroups",
            str(line["measure"]),
            line["value"],
            line["lower"],
            line["upper"],
            n=line["n"],
            n_events=line["n_events"],
            method=line["method"],
            group=f"{line['variable']}: {line['group']}",
        )
        for line in table[table["variable"] != "overall"].to_dict(orient="records")
    ]
    tests = found.tests.reset_index(drop=True)
    return PartResult(figures=rows, tables={"subgroups": table, "subgroup tests": tests}, not_estimable=left)


def audited(column: pd.Series) -> pd.Series:
    """Return the groups of a column with the role audit: numbers by quartiles, small groups merged."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MAX_CODES:
        ends = np.unique(np.round(np.nanquantile(column.to_numpy(dtype=float), [0.25, 0.5, 0.75])))
        groups = pd.cut(column.astype(float), [-np.inf, *ends, np.inf]).astype(str)
    else:
        groups = column.astype(object).astype(str)
    groups = groups.where(column.notna(), "not stated")
    counts = groups.value_counts()
    small = counts[counts < MIN_REPORTED]
    if len(small) == len(counts):  # nothing can be reported
        return pd.Series("all", index=groups.index)
    if small.empty:
        return groups
    if small.sum() >= MIN_REPORTED:
        return groups.mask(groups.isin(small.index), "small groups")
    least = counts[counts >= MIN_REPORTED].index[-1]  # even if merged, they are too few to report
    return groups.mask(groups.isin([*small.index, least]), f"{least} and others")
