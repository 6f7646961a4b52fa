"""One row per figure of a report; alarms after Holm; counts too small to be told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import SMALL_CELL
from treatsel._stats.multiplicity import holm

FEWEST = 30  # patients with a value, below whom a test says nothing
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure: what it is, its interval, what was expected and found, and its test if there is one.

    `matters`: whether the difference is large enough for an alarm. `p_value` is NaN where nothing is
    tested.
    """

    section: str
    name: str
    measure: str
    value: float
    lower: float = NAN
    upper: float = NAN
    expected: float = NAN
    found: float = NAN
    n: int
    p_value: float = NAN
    p_adjusted: float = NAN
    matters: bool = False
    alarm: bool = False
    method: str


COLUMNS = [one.name for one in fields(Finding)]


@dataclass(frozen=True)
class Part:
    """Findings of one part of a report, cautions, and what could not be tested (what, why)."""

    findings: list[Finding] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    not_estimable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: "Part") -> None:
        """Append another part."""
        self.findings.extend(other.findings)
        self.cautions.extend(other.cautions)
        self.not_estimable.extend(other.not_estimable)


def judged(findings: Sequence[Finding], rate: float) -> list[Finding]:
    """Return the findings of one family with adjusted p values and alarms: unlikely, and large enough."""
    tested = [i for i, finding in enumerate(findings) if finding.p_value == finding.p_value]
    adjusted = dict(zip(tested, holm(np.array([findings[i].p_value for i in tested])), strict=True))
    return [
        replace(
            finding,
            p_adjusted=float(adjusted[i]),
            alarm=bool(adjusted[i] <= rate and finding.matters),
        )
        if i in adjusted
        else finding
        for i, finding in enumerate(findings)
    ]


def table_of(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return findings as a table."""
    return pd.DataFrame(
        [[getattr(finding, name) for name in COLUMNS] for finding in findings], columns=COLUMNS
    )


def is_small(count: Any, n: Any) -> bool:
    """Whether a count, or what is left of n, is too small to be told; none and all may be told."""
    return bool(0 < count < SMALL_CELL or 0 < n - count < SMALL_CELL)
