"""One folder of reference values: data sets, results of other packages on them, and comparison."""

import json
import os
import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

STORED = Path(__file__).parents[2] / "reference" / "validation"
FOLDER = Path(os.environ.get("TREATSEL_REFERENCE", STORED))
WEIGHTS = ("weight", "weights", "w", "sample_weight")
SAMPLING = "weighted."  # ids that start so use sampling weights; other weights are counts


class AbsentError(Exception):
    """A check cannot apply: what it needs is absent."""


class Reference:
    """A data set: the file that the JSON names, read by its columns; nothing else is assumed."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        self.name = path.name.removesuffix("_expected.json")
        self.file_name = content.get("file")
        self.checks: dict[str, dict[str, Any]] = {check["id"]: check for check in content["checks"]}
        self.names_of_weights = _names_of_weights(content)

    @cached_property
    def table(self) -> pd.DataFrame:
        return pd.read_csv(FOLDER / self.file_name)

    def __getitem__(self, columns: str | list[str]) -> Any:
        """The column (or columns) of that name, as of a table."""
        wanted = [columns] if isinstance(columns, str) else columns
        if missing := [name for name in wanted if name not in self.table]:
            raise AbsentError(f"the data set has no column {', '.join(missing)}")
        return self.table[columns]

    def beside(self, end: str) -> pd.DataFrame:
        """Another file of this data set, such as ``imputed`` for ``ref1_imputed.csv``."""
        path = FOLDER / f"{self.name}_{end}.csv"
        if not path.is_file():
            raise AbsentError(f"the folder has no {path.name}")
        return pd.read_csv(path)

    @property
    def y(self) -> pd.Series:
        return self["y"]

    @property
    def p(self) -> pd.Series:
        return self["p"]

    @property
    def weight(self) -> pd.Series | None:
        found = [name for name in self.names_of_weights if name in self.table]
        return self.table[found[0]] if found else None

    def weighted_as(self, check: str) -> "Reference":
        """This data set, or without weights if the check is unweighted.

        A check is unweighted if it states this, or if only other checks use sampling weights.
        """
        said = f"{check} {self.checks[check].get('note', '')}".lower()
        plain = self.checks[check].get("weights", True) in (None, False, "none") or "unweighted" in said
        if not check.startswith(SAMPLING):
            plain |= any(other.startswith(SAMPLING) for other in self.checks)
        return self.unweighted if plain else self

    @cached_property
    def unweighted(self) -> "Reference":
        other = copy(self)
        other.names_of_weights = ()
        return other

    @property
    def has_line(self) -> bool:
        """Whether the predictions can be recalibrated."""
        kept = slice(None) if self.weight is None else self.weight > 0
        return has_line(self.y[kept], self.p[kept])

    @property
    def arms(self) -> list[str]:
        """Of the columns ``e_<arm>``; without them, of the column ``arm``."""
        named = [column[2:] for column in self.table if column.startswith("e_")]
        return named or sorted(self["arm"].astype(str).unique())

    @property
    def covariates(self) -> list[str]:
        if not (found := [column for column in self.table if re.fullmatch(r"x\d+", column)]):
            raise AbsentError("the data set has no covariates")
        return found

    def by_arm(self, prefix: str) -> pd.DataFrame:
        """Table of the columns ``p_<arm>`` or ``e_<arm>``, named by arm."""
        return self[[prefix + arm for arm in self.arms]].set_axis(self.arms, axis=1)

    def value(self, check: str) -> Any:
        """Value of the other package for a check; for grids and inputs, never for answers."""
        if (value := self.expected(check)) is None:
            raise AbsentError(self.refusal(check))
        return value

    def expected(self, check: str) -> Any:
        """Value of the other package for a check, None if it gives none; shows where to put reasons."""
        return self.checks.get(check, {}).get("value")

    def refusal(self, check: str) -> str:
        """Why the other package gives no value."""
        return (
            f"the original refuses these data: {self.checks.get(check, {}).get('note') or 'without a word'}"
        )

    @cached_property
    def has_extremes(self) -> bool:
        """Whether some prediction is exactly 0 or 1, so that its logit is infinite."""
        if self.file_name is None:
            return False
        predictions = self.table.filter(regex=r"^p(_|$)")
        return bool(predictions.isin([0, 1]).any(axis=None))


def _names_of_weights(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The column that the JSON names; otherwise any of the usual names that the table has."""
    for key in ("weights", "weight", "weight_column"):
        if key in content:
            return (content[key],) if isinstance(content[key], str) else ()
    return WEIGHTS


Rule = Callable[..., Any]


@dataclass(frozen=True)
class Different:
    """Marks a part of a rule's answer that we do not compute, or compute by another convention."""

    reason: str


@dataclass(frozen=True)
class Within:
    """An answer with its own tolerance, given in the note of the check or in the README."""

    value: Any
    absolute: float = 0.0
    relative: float = 0.0


def paths() -> list[Path]:
    return sorted(FOLDER.glob("*_expected.json")) if FOLDER.is_dir() else []


def rule_for(rules: Mapping[str, Rule], check: str) -> tuple[Rule, dict[str, str]] | None:
    """The rule whose pattern matches the whole id, with the named groups of the pattern."""
    for pattern, rule in rules.items():
        if found := re.fullmatch(pattern, check):
            return rule, found.groupdict()
    return None


NO_LINE = Different(
    "one class, equal predictions, or predictions that separate the classes: the likelihood has no maximum, "
    "and R's glm stops where its arithmetic gives out"
)


def has_line(y: pd.Series, p: pd.Series) -> bool:
    """Whether a logistic regression of the outcome on a function of the prediction has a maximum."""
    cases, others = p[y == 1], p[y == 0]
    if not len(cases) or not len(others) or p.min() == p.max():
        return False
    return bool(cases.min() < others.max() and cases.max() > others.min())


def is_missing(found: Any) -> bool:
    """Whether an answer contains no finite number."""
    if isinstance(found, str):
        return True
    if isinstance(found, Mapping):
        return all(map(is_missing, found.values()))
    if isinstance(found, Within):
        return is_missing(found.value)
    if isinstance(found, list | tuple):
        return all(map(is_missing, found))
    return found is None or isinstance(found, Different) or not np.isfinite(np.asarray(found, float)).any()


def put_reason(found: Any, expected: Any, differs: Callable[[Any, Any], bool], reason: str) -> Any:
    """Return `found` with a reason in place of every number that differs from the expected one in kind."""
    if isinstance(found, Different) or (isinstance(found, Mapping) and not isinstance(expected, dict)):
        return found
    if isinstance(expected, dict):
        parts = {
            name: put_reason(found[name], expected[name], differs, reason)
            for name in expected
            if name in found
        }
        return {**found, **parts}
    if isinstance(expected, list) and not isinstance(found, Within):
        if len(found) != len(expected):
            return found
        return [
            put_reason(ours, theirs, differs, reason) for ours, theirs in zip(found, expected, strict=True)
        ]
    return Different(reason) if differs(found, expected) else found


def only_ours(found: Any, expected: Any) -> bool:
    """Whether we give a number and the other package none."""
    return expected is None and not is_missing(found)


def only_theirs(found: Any, expected: Any) -> bool:
    """Whether the other package gives a number and we none."""
    return expected is not None and not isinstance(found, str) and is_missing(found)


def compare(found: Any, expected: Any, tol: float, where: str) -> None:
    """Compare every part of `expected`; `found` must have it, or a reason why not (`Different`)."""
    if isinstance(found, Different):
        return
    if isinstance(found, Within):
        compare_number(found.value, expected, found.absolute, found.relative, where)
    elif isinstance(expected, dict):
        assert isinstance(found, Mapping), f"{where}: a number instead of {sorted(expected)}"
        for name, value in expected.items():
            assert name in found, f"{where}.{name} is not computed"
            compare(found[name], value, tol, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for position, (a, b) in enumerate(zip(found, expected, strict=True)):
            compare(a, b, tol, f"{where}[{position}]")
    elif isinstance(expected, str):
        assert str(found) == expected, where
    else:
        compare_number(found, expected, tol, 0.0, where)


def compare_number(found: Any, expected: Any, absolute: float, relative: float, where: str) -> None:
    if expected is None:
        assert is_missing(found), f"{where}: the original gives no number, we {found}"
    elif isinstance(expected, list | dict):
        parts = expected.items() if isinstance(expected, dict) else enumerate(expected)
        for name, value in parts:
            compare_number(found[name], value, absolute, relative, f"{where}[{name}]")
    else:
        assert found == pytest.approx(expected, abs=absolute, rel=relative), where
