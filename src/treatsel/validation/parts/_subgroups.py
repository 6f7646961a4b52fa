"""Part: performance by subgroup (columns with the role audit)."""

import numpy as np
import pandas as pd

from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import FEWEST_SHOWN, PartResult, row
from treatsel.validation.parts._policies import Policies
from treatsel.validation.studies import MOST_GROUPS, subgroup_performance

MOST_CODES = 5  # values of a number up to which each is a group


def subgroups(setting: ValidationTask, policies: Policies) -> PartResult:
    """Return the figures of subgroups by the columns with the role audit."""
    book, y = setting.cohort.codebook, setting.observed
    names = [name for name in book.names("audit") if name in setting.cohort.frame]
    if not names:
        why = "the codebook gives no column the role audit; sex, age group or ethnicity could have it"
        return PartResult(not_estimable=[("Figures by subgroup (fairness)", why)])
    labels = pd.DataFrame({name: audited(setting.cohort.frame.loc[setting.seen, name]) for name in names})
    n_groups = labels.nunique()
    left = [
        (
            f"Figures by {name}",
            f"it has {n} groups of {FEWEST_SHOWN} patients or more; 2 to {MOST_GROUPS} can be compared",
        )
        for name, n in n_groups.items()
        if not 1 < n <= MOST_GROUPS
    ]
    labels = labels.loc[:, n_groups.between(2, MOST_GROUPS)]
    if not len(labels.columns):
        return PartResult(not_estimable=left)
    found = subgroup_performance(
        y,
        setting.own,
        setting.arms,
        labels,
        scores=None if policies.problem else policies.scores,
        recommended=policies.recommended,
        best_arm=policies.gain.comparator_arm,
        level=setting.level,
    )
    table = found.to_frame()
    told = [
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
    return PartResult(figures=told, tables={"subgroups": table, "subgroup tests": tests}, not_estimable=left)


def audited(column: pd.Series) -> pd.Series:
    """Return the groups of a column with the role audit: quarters of a number, small groups together."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_CODES:
        ends = np.unique(np.round(np.nanquantile(column.to_numpy(dtype=float), [0.25, 0.5, 0.75])))
        groups = pd.cut(column.astype(float), [-np.inf, *ends, np.inf]).astype(str)
    else:
        groups = column.astype(object).astype(str)
    groups = groups.where(column.notna(), "not stated")
    counts = groups.value_counts()
    small = counts[counts < FEWEST_SHOWN]
    if small.empty or len(small) == len(counts):
        return groups
    if small.sum() >= FEWEST_SHOWN:
        return groups.mask(groups.isin(small.index), "small groups")
    least = counts[counts >= FEWEST_SHOWN].index[-1]  # even together too few to be shown
    return groups.mask(groups.isin([*small.index, least]), f"{least} and others")
