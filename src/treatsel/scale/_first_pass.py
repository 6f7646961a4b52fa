"""A first pass over the partitions of a Dask DataFrame: the frequency of each distinct value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import as_text, count_of, normal_text
from treatsel._disclosure import arm_named
from treatsel.additive import Encoding
from treatsel.errors import InputError

FAN_IN = 16  # sums added by one task: limits both memory and the depth of the tree
Counts = dict[str, pd.Series]  # frequency of each value of a column


@dataclass(frozen=True, repr=False)
class Summary:
    """Result of a first pass over the partitions: their lengths and the frequency of each value."""

    parts: list[Any]
    lengths: list[int]
    covariates: list[str]
    counts: Counts
    arms: np.ndarray


def summarized(
    ddf: Any, outcome: str, arm: str, groups: str | None = None, score: str | None = None
) -> Summary:
    """Check the columns, outcome and arms of a frame, and count its values."""
    import dask

    named = [outcome, arm, *(name for name in (groups, score) if name)]
    if lost := [name for name in named if name not in ddf.columns]:
        raise InputError(f"The frame lacks the columns {lost}. It has {list(map(str, ddf.columns))}.")
    covariates = [name for name in ddf.columns if name not in named]
    if not covariates:
        raise InputError(f"The frame has no columns other than {named}. It needs at least one covariate.")
    parts = ddf.to_delayed()
    lengths, counts = dask.compute(
        [dask.delayed(len)(part) for part in parts],
        tree([dask.delayed(_counted)(part, outcome, arm, score) for part in parts], _merged),
    )
    arms = _checked_arms(counts[""], outcome, arm)
    return Summary(parts, lengths, covariates, counts, arms)


# --- run on the workers


def _counted(part: pd.DataFrame, outcome: str, arm: str, score: str | None) -> Counts:
    """Count the values of each column and, under "", those of arm and outcome jointly.

    Those of a score are counted jointly with the outcome; what is no number counts as infinite.
    """
    counts: Counts = {name: plain(part[name]).value_counts(dropna=False) for name in part.columns}
    # what is no number becomes NaN, which is refused: the error of a conversion would show a patient's value
    observed = pd.to_numeric(part[outcome], errors="coerce").astype("float64")
    both = pd.DataFrame({"arm": part[arm].astype("object"), "outcome": observed})
    counts[""] = both.groupby(["arm", "outcome"], dropna=False).size()
    if score is not None:
        both = pd.DataFrame({"outcome": observed, "score": scores_of(part[score])})
        counts[score] = both.groupby(["outcome", "score"], dropna=False).size()
    return counts


def scores_of(column: pd.Series) -> pd.Series:
    """Return scores as numbers; infinite: no number."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.mask(numbers.isna() & column.notna(), np.inf)


def plain(column: pd.Series) -> pd.Series:
    """Return numbers as float64, declared categories as texts, and everything else as objects."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype("object").map(as_text, na_action="ignore")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
    return column.astype("object")


def _merged(counts: Sequence[Counts]) -> Counts:
    merged = {}
    for name, first in counts[0].items():
        joined = pd.concat([one[name] for one in counts])
        levels = list(range(first.index.nlevels))
        merged[name] = joined.groupby(level=levels, dropna=False).sum()
    return merged


def tree(tasks: list[Any], combine: Callable[[Sequence[Any]], Any]) -> Any:
    """Combine results in a tree whose shape depends on their number alone, for reproducible sums."""
    import dask

    while len(tasks) > 1:
        tasks = [dask.delayed(combine)(tasks[i : i + FAN_IN]) for i in range(0, len(tasks), FAN_IN)]
    return tasks[0]


# --- run in this process


def _checked_arms(counts: pd.Series, outcome: str, arm: str) -> np.ndarray:
    """Return the arms, sorted."""
    table = counts.reset_index(name="n")
    if n := int(table.loc[table["arm"].isna(), "n"].sum()):
        raise InputError(
            f"Column {arm!r} has {count_of(n, 'missing value')}. Exclude patients without a received arm."
        )
    if n := int(table.loc[~table["outcome"].isin([0, 1]), "n"].sum()):
        raise InputError(
            f"Column {outcome!r} has {count_of(n, 'value')} other than 0 and 1. Recode or exclude them."
        )
    for name, rows in table.groupby("arm"):
        if len(rows) < 2:
            raise InputError(
                f"{arm_named(name, int(rows['n'].sum()))}, all with the same outcome. "
                "A model needs both outcomes in every arm: merge this arm with another, or exclude it."
            )
    return np.array(sorted(table["arm"].unique(), key=str), dtype=object)


def checked_sites(counts: pd.Series, groups: str) -> np.ndarray | None:
    """Return the sites; None if there are fewer than two, so that site effects cannot be estimated."""
    missing = counts.index.isna()
    if n := int(counts[missing].sum()):
        raise InputError(
            f"Column {groups!r} has {count_of(n, 'missing value')}. Complete it, or exclude these patients."
        )
    labels = sorted({normal_text(as_text(site)) for site in counts.index})
    return np.array(labels, dtype=object) if len(labels) > 1 else None


def encoding_of(counts: Counts, names: Sequence[str], **options: bool) -> Encoding:
    """Learn the encoding of each column from its distinct values, weighted by their frequency."""
    columns: list[Any] = []
    for name in names:
        values, n = pd.DataFrame({name: counts[name].index}), counts[name].to_numpy(dtype=np.float64)
        columns += Encoding.of_cohort(values, n, patients=n, **{"native_missing": False, **options}).columns
    return Encoding(tuple(columns), options.get("native_missing", False))
