"""Part: calibration, overall and by received arm."""

from typing import Any

import pandas as pd

from treatsel._disclosure import SMALLEST_GROUP, is_small
from treatsel._measures import MEASURES
from treatsel._reporting.format import with_p
from treatsel._stats.logits import NEAREST
from treatsel.metrics import (
    calibration_curve,
    spiegelhalter_z,
    weak_calibration_test,
)
from treatsel.validation._small_groups import ends_of, merged_groups, rounded_knots
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import Caution, PartResult, Severity, row, row_of, rows_by_arm

NAN = float("nan")
KEYS = ("calibration_in_the_large", "calibration_slope", "observed_expected")


def calibration(task: ValidationTask) -> PartResult:
    """Return measures, tests and curves of calibration."""
    y, own, level = task.observed, task.own, task.level
    curves = {
        "": calibration_curve(y, own, level=level, at=ends_of(own), **task.weights()),
        " by arm": calibration_curve(y, own, received=task.arms, level=level, **task.weights()),
    }
    tables: dict[str, Any] = {}
    for name, curve in curves.items():
        tables |= {
            f"calibration curve{name}": curve.table,
            f"calibration groups{name}": merged_groups(curve.groups, level),
            f"calibration fits{name}": rounded_knots(curve.fits),
        }
    tables["calibration curve by arm"] = _inner(curves[" by arm"].table, task)
    tests = _tests(task)
    return PartResult(
        figures=[*rows_by_arm("calibration", KEYS, task), *tests.figures],
        tables=tables | tests.tables,
        cautions=_certain(task),
    )


def _inner(curves: pd.DataFrame, task: ValidationTask) -> pd.DataFrame:
    """Return the curves by arm, in small arms between ends that are no predictions of single patients."""
    parts = []
    for arm, curve in curves.groupby("arm", sort=False):
        mine = task.arms == arm
        y, own = task.observed[mine], task.own[mine]
        if (at := ends_of(own)) is not None:
            weights = task.weights(mine)
            curve = calibration_curve(y, own, at=at, level=task.level, **weights).table.assign(arm=arm)
        parts.append(curve)
    return pd.concat(parts, ignore_index=True)


def _tests(task: ValidationTask) -> PartResult:
    """Return the weak calibration test (intercept and slope together) and Spiegelhalter's test."""
    y, own = task.observed, task.own
    weak = weak_calibration_test(y, own, **task.weights())
    z = spiegelhalter_z(y, own, level=task.level, **task.weights())
    nothing = "a test statistic has no interval"
    method = f"{weak.method}, {weak.weak.df} df, {with_p(weak.weak.p_value)}; {nothing}"
    counts: dict[str, Any] = {"n": weak.n, "n_events": weak.n_events}
    known = weak.weak.statistic == weak.weak.statistic
    rows = [
        row(
            "calibration tests",
            MEASURES["weak_calibration"].label,
            weak.weak.statistic,
            NAN,
            NAN,
            **counts,
            method=method if known else weak.method,
        ),
        row_of("calibration tests", MEASURES["spiegelhalter_z"].label, z)
        | ({"method": f"{with_p(z.p_value)}; {z.method}"} if z.value == z.value else {}),
    ]
    table = pd.DataFrame(
        {
            "test": [line["measure"] for line in rows],
            "statistic": [line["value"] for line in rows],
            "df": [float(weak.weak.df), NAN],
            "p_value": [weak.weak.p_value, z.p_value],
            "n": weak.n,
            "n_events": weak.n_events,
        }
    )
    return PartResult(figures=rows, tables={"calibration tests": table})


def _some(n: Any) -> str:
    return f"fewer than {SMALLEST_GROUP}" if is_small(n) else f"{int(n):,}"


def _certain(task: ValidationTask) -> list[Caution]:
    """Return a caution that counts predictions of 0 or 1, whose logit is infinite."""
    table = task.by_arm[task.seen].to_numpy(dtype=float)
    ends = [((part < NEAREST) | (part > 1 - NEAREST)) for part in (task.own, table)]
    if not ends[1].any():
        return []
    text = (
        f"{_some(ends[0].sum())} of {len(task.own):,} predictions for the received arm "
        f"({_some(ends[1].sum())} of {table.size:,} over all arms) are 0 or 1. Where a logit is needed, they "
        f"are replaced by {NEAREST:g} and 1 - {NEAREST:g}; a few wrong ones then dominate the calibration "
        "slope, the log loss and Nagelkerke's R2."
    )
    return [Caution(Severity.PARTIAL, text)]
