"""One row per figure of a monitoring report, and alarms after Holm's adjustment."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd

from treatsel._disclosure import SMALLEST_GROUP, SUPPRESSED, is_disclosive, is_small
from treatsel._stats.multiplicity import holm

MIN_PATIENTS = 30  # patients with a value; with fewer, the normal approximations of the tests are unreliable
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure: estimate with interval, expected and observed value, and its test, if there is one.

    `exceeds_threshold`: whether the difference is large enough for an alarm, see `AlarmThresholds`.
    `p_value` is NaN where nothing is tested.
    """

    section: str
    name: str
    measure: str
    value: float
    lower: float = NAN
    upper: float = NAN
    expected: float = NAN
    observed: float = NAN
    n: int
    p_value: float = NAN
    p_adjusted: float = NAN
    exceeds_threshold: bool = False
    alarm: bool = False
    method: str


COLUMNS = [one.name for one in fields(Finding)]


@dataclass(frozen=True)
class PartResult:
    """Findings of one part of a report, cautions, and what could not be tested (what, why)."""

    findings: list[Finding] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    not_estimable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: "PartResult") -> None:
        """Append another part."""
        self.findings.extend(other.findings)
        self.cautions.extend(other.cautions)
        self.not_estimable.extend(other.not_estimable)


def with_alarms(findings: Sequence[Finding], rate: float) -> list[Finding]:
    """Return the findings of one family of tests with Holm-adjusted p values and alarms.

    An alarm needs an adjusted p value of at most `rate` and a difference that exceeds its threshold. The p
    value of a suppressed figure would disclose the count: it is replaced by an upper bound, `rate` or 1.
    """
    tested = [i for i, finding in enumerate(findings) if finding.p_value == finding.p_value]
    adjusted = dict(zip(tested, holm(np.array([findings[i].p_value for i in tested])), strict=True))
    return [
        _decided(finding, float(adjusted[i]), rate) if i in adjusted else finding
        for i, finding in enumerate(findings)
    ]


def _decided(finding: Finding, adjusted: float, rate: float) -> Finding:
    alarm = bool(adjusted <= rate and finding.exceeds_threshold)
    if finding.method == SUPPRESSED:
        bound = rate if alarm else 1.0
        return replace(finding, p_value=bound, p_adjusted=bound, alarm=alarm)
    return replace(finding, p_adjusted=adjusted, alarm=alarm)


def counts_for_test(k: int, m: int) -> tuple[int, ...]:
    """Return the counts for one of which a suppressed count of `k` of `m` patients is tested.

    A small count, or remainder, is tested as the least alarming of two (1 or 2, 3 or 4): an alarm then hides
    which it is, but is not lost with the number. Other counts are tested as they are.
    """
    if not is_disclosive(k, m):
        return (k,)
    small = k if is_small(k) else m - k
    first = small - (small + 1) % 2  # 1 for 1 and 2, 3 for 3 and 4
    pair = [each for each in (first, first + 1) if each < min(SMALLEST_GROUP, m)]
    return tuple(pair) if is_small(k) else tuple(m - each for each in pair)


def table_of(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return findings as a table."""
    return pd.DataFrame(
        [[getattr(finding, name) for name in COLUMNS] for finding in findings], columns=COLUMNS
    )
