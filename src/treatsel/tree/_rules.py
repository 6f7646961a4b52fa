"""Splits of covariates: candidates as ranks, for the search, and nodes that are applied to new patients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, count_of, shortened
from treatsel.errors import InputError

BoolArray = np.ndarray
_MISSING = object()  # a missing category is a level of its own


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of a policy tree: a split, or a leaf with its arm.

    Attributes
    ----------
    depth : int
        Number of splits above the node.
    n : int
        Patients of the data who reach the node.
    value : float
        Mean score of these patients under the tree.
    arm : label or None
        The arm of a leaf; None for a split.
    column : str or None
        Covariate of a split.
    kind : {"number", "ordered", "category", "missing"} or None
        "number": whether the value is at most `cut`. "ordered": whether the category of an ordered column is
        at most `level`. "category": whether the value equals `level`. "missing": whether there is no value.
    cut : float or None
        Highest number of the "yes" branch, a value that was observed.
    level : label or None
        Category of the split.
    missing : {"yes", "no"} or None
        Branch of patients without a value.
    n_missing : int
        Patients of a split without a value.
    yes, no : int or None
        Positions of the two branches among the nodes of the tree.
    """

    depth: int
    n: int
    value: float
    arm: Any = None
    column: str | None = None
    kind: str | None = None
    cut: float | None = None
    level: Any = None
    missing: str | None = None
    n_missing: int = 0
    yes: int | None = None
    no: int | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether the node assigns an arm."""
        return self.column is None

    @property
    def condition(self) -> str:
        """The question of a split; the arm of a leaf."""
        if self.is_leaf:
            return str(self.arm)
        name = shortened(str(self.column))
        return {
            "number": f"{name} <= {self.cut if self.cut is None else format(self.cut, '.6g')}",
            "ordered": f"{name} <= {shortened(str(self.level))}",
            "category": f"{name} = {shortened(str(self.level))}",
            "missing": f"{name} is missing",
        }[str(self.kind)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Feature:
    """One way to split a column: patients with a code up to some number answer "yes".

    A number without missing values, or an ordered category, is one feature; with missing values, it is two:
    these patients have the lowest code, or the highest. A category is one feature per level: 0 for the level,
    1 for all others.
    """

    column: str
    kind: str
    codes: np.ndarray
    values: tuple[Any, ...]  # value of each code; for a category its level alone
    absent: BoolArray
    missing_first: bool = False

    def split(self, code: int) -> dict[str, Any]:
        """Return the fields of the node that splits after `code`."""
        if self.kind == "category":
            level = self.values[0]
            if level is _MISSING:
                return {"column": self.column, "kind": "missing", "missing": "yes"}
            return {"column": self.column, "kind": "category", "level": level, "missing": "no"}
        value = self.values[code]
        if value is _MISSING:
            return {"column": self.column, "kind": "missing", "missing": "yes"}
        branch = "yes" if self.missing_first else "no"
        what = {"cut": float(value)} if self.kind == "number" else {"level": value}
        return {"column": self.column, "kind": self.kind, "missing": branch, **what}

    def key(self, code: int) -> tuple[Any, ...]:
        """Return what decides between splits of the same value: column name, lower cut, missing as "no"."""
        value = self.values[0 if self.kind == "category" else code]
        first = value is not _MISSING
        if self.kind == "category":
            return self.column, first, 0.0, str(value) if first else "", False
        place = float(value) if self.kind == "number" and first else float(code - self.missing_first)
        return self.column, first, place, "", self.missing_first


def features_of(X: pd.DataFrame, n_cuts: int | None = None) -> list[Feature]:
    """Return all features of a table of covariates, sorted by column."""
    found: list[Feature] = []
    for name in sorted(X.columns, key=str):
        found += _features(str(name), X[name], n_cuts)
    return [feature for feature in found if feature.codes.max(initial=0) > 0]


def _features(name: str, column: pd.Series, n_cuts: int | None) -> list[Feature]:
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        codes = np.asarray(column.cat.codes, dtype=np.int64)
        return _ordered(name, "ordered", codes, codes < 0, list(column.cat.categories), None)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        numbers = as_numbers(name, column)
        absent = np.isnan(numbers)
        return _ordered(name, "number", numbers, absent, None, n_cuts)
    return _categories(name, column)


def as_numbers(name: str, column: pd.Series) -> FloatArray:
    """Return a column as floats, NaN if missing."""
    if np.iscomplexobj(column):
        raise InputError(f"Column {name!r} holds complex numbers. Convert it.")
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if n := int(np.isinf(numbers).sum()):
        raise InputError(f"Column {name!r} holds {count_of(n, 'infinite value')}. Give finite numbers.")
    return np.asarray(numbers + 0.0)  # -0.0 is 0.0


def _ordered(
    name: str, kind: str, numbers: np.ndarray, absent: BoolArray, labels: Any, n_cuts: int | None
) -> list[Feature]:
    distinct = np.unique(numbers[~absent])
    if n_cuts is not None and len(distinct) > n_cuts + 1:
        shares = np.arange(1, n_cuts + 1) / (n_cuts + 1)
        chosen = np.quantile(numbers[~absent], shares, method="inverted_cdf")  # observed values
        distinct = np.unique(np.append(chosen, distinct[-1]))
    values = tuple(distinct.tolist() if labels is None else (labels[int(i)] for i in distinct))
    codes = np.searchsorted(distinct, np.where(absent, np.inf, numbers)).astype(np.int64)
    options: dict[str, Any] = {"column": name, "kind": kind, "absent": absent}
    found = [Feature(codes=codes, values=values, **options)]
    if absent.any() and len(values):
        codes = np.where(absent, 0, codes + 1)
        found.append(Feature(codes=codes, values=(_MISSING, *values), missing_first=True, **options))
    return found


def _categories(name: str, column: pd.Series) -> list[Feature]:
    labels = column.astype("object").where(column.notna(), None)  # comparisons with pd.NA are unknown
    absent = labels.isna().to_numpy(dtype=bool)
    kinds = {type(value) for value in labels[~absent]}
    if odd := sorted(
        kind.__name__ for kind in kinds if not issubclass(kind, str | bool | np.bool_ | int | float)
    ):
        raise InputError(
            f"Column {name!r} holds values of type {odd[0]}. Covariates are numbers, texts, booleans or "
            "categories: convert it, or leave the column out."
        )
    levels = sorted(pd.unique(labels[~absent]), key=str)
    features = [_is_missing(name, absent)] if absent.any() else []
    for level in levels:
        codes = np.where((labels == level).to_numpy(dtype=bool) & ~absent, 0, 1)
        features.append(Feature(column=name, kind="category", codes=codes, values=(level,), absent=absent))
    return features[:1] if len(features) == 2 else features  # of two, each is the other's complement


def _is_missing(name: str, absent: BoolArray) -> Feature:
    codes = np.where(absent, 0, 1)
    return Feature(column=name, kind="category", codes=codes, values=(_MISSING,), absent=absent)


def answers(node: Node, column: pd.Series) -> BoolArray:
    """Return which patients answer "yes" at a split."""
    absent = column.isna().to_numpy(dtype=bool)
    if node.kind == "missing":
        return absent
    if node.kind == "number":
        if not pd.api.types.is_numeric_dtype(column.dtype):
            raise InputError(f"Column {node.column!r} must hold numbers, as in the data of the tree.")
        with np.errstate(invalid="ignore"):
            yes = as_numbers(str(node.column), column) <= float(node.cut or 0.0)
    elif node.kind == "ordered":
        yes = _at_most(column, node)
    else:
        yes = (column.astype("object").where(~absent, None) == node.level).to_numpy(dtype=bool)
    return np.where(absent, node.missing == "yes", yes).astype(bool)


def _at_most(column: pd.Series, node: Node) -> BoolArray:
    categories = list(column.cat.categories) if isinstance(column.dtype, pd.CategoricalDtype) else []
    if node.level not in categories or not column.cat.ordered:
        raise InputError(f"Column {node.column!r} must be an ordered category, as in the data of the tree.")
    return np.asarray(column.cat.codes, dtype=np.int64) <= categories.index(node.level)
