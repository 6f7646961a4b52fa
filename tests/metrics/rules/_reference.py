"""One folder of reference values: data sets, what other packages compute on them, and how to compare."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

BESIDE = Path(__file__).parents[4] / "shared" / "reference" / "validation"
FOLDER = Path(os.environ.get("TREATSEL_REFERENCE", BESIDE))
WEIGHTS = ("weight", "weights", "w", "sample_weight")


class Reference:
    """A data set: the file that the JSON names, read by its columns; nothing is known of it beforehand."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        self.name = path.name.removesuffix("_expected.json")
        self.file_name = content.get("file")
        self.checks: dict[str, dict[str, Any]] = {check["id"]: check for check in content["checks"]}

    @cached_property
    def table(self) -> pd.DataFrame:
        return pd.read_csv(FOLDER / self.file_name)

    def beside(self, end: str) -> pd.DataFrame:
        """Another file of this data set, such as ``imputed`` for ``ref1_imputed.csv``."""
        return pd.read_csv(FOLDER / f"{self.name}_{end}.csv")

    @property
    def y(self) -> pd.Series:
        return self.table["y"]

    @property
    def p(self) -> pd.Series:
        return self.table["p"]

    @property
    def weight(self) -> pd.Series | None:
        found = [name for name in WEIGHTS if name in self.table]
        return self.table[found[0]] if found else None

    @property
    def arms(self) -> list[str]:
        return [column[2:] for column in self.table if column.startswith("e_")]

    @property
    def covariates(self) -> list[str]:
        return [column for column in self.table if re.fullmatch(r"x\d+", column)]

    def by_arm(self, prefix: str) -> pd.DataFrame:
        """Table of the columns ``p_<arm>`` or ``e_<arm>``, named by arm."""
        return self.table[[prefix + arm for arm in self.arms]].set_axis(self.arms, axis=1)

    def value(self, check: str) -> Any:
        """What the original gives for a check; for grids and inputs, never for answers."""
        return self.checks[check]["value"]


Rule = Callable[..., Any]


@dataclass(frozen=True)
class Different:
    """Stands in a rule's answer for a part that we do not compute, or compute by another convention."""

    reason: str


@dataclass(frozen=True)
class Within:
    """An answer with a tolerance of its own, which the note of the check, or the README, gives."""

    value: Any
    absolute: float = 0.0
    relative: float = 0.0


def paths() -> list[Path]:
    return sorted(FOLDER.glob("*_expected.json")) if FOLDER.is_dir() else []


def rule_for(rules: Mapping[str, Rule], check: str) -> tuple[Rule, dict[str, str]] | None:
    """The rule whose pattern matches the whole id, with what the pattern's named groups hold."""
    for pattern, rule in rules.items():
        if found := re.fullmatch(pattern, check):
            return rule, found.groupdict()
    return None


def compare(found: Any, expected: Any, tol: float, where: str) -> None:
    """Compare every part of `expected`; `found` must have it, or say why it has not (`Different`)."""
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
        assert found == expected, where
    else:
        compare_number(found, expected, tol, 0.0, where)


def compare_number(found: Any, expected: Any, absolute: float, relative: float, where: str) -> None:
    if expected is None:
        missing = found is None or bool(np.all(np.isnan(np.asarray(found, dtype=float))))
        assert missing, f"{where}: the original gives no number, we {found}"
    elif isinstance(expected, list | dict):
        parts = expected.items() if isinstance(expected, dict) else enumerate(expected)
        for name, value in parts:
            compare_number(found[name], value, absolute, relative, f"{where}[{name}]")
    else:
        assert found == pytest.approx(expected, abs=absolute, rel=relative), where
