"""Whether the probabilities still mean what they say, once outcomes have arrived."""

from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._stats.intervals import two_sided_p, wald
from treatsel.metrics import (
    Estimate,
    calibration_in_the_large,
    calibration_slope,
    enough_clusters,
    observed_expected_ratio,
    weak_calibration_test,
)
from treatsel.monitoring._finding import NAN, Finding, Part
from treatsel.monitoring._observed_outcomes import ObservedOutcomes
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.validation.parts import MIN_EVENTS, OVERALL

GAP, LEVEL, RATIO, SLOPE = (
    "observed less predicted",
    "calibration in the large",
    "observed / expected",
    "calibration slope",
)
FEWEST_FOR_SLOPE = 30  # and as many non-events


def calibration(arrived: ObservedOutcomes, sizes: AlarmThresholds, level: float) -> Part:
    """Return calibration overall and by received arm, with one test of the level and one of the slope each.

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Miller, Hui & Tierney (1991), Statistics in Medicine 10(8), 1213-1226. doi:10.1002/sim.4780100805
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7
    """
    y, p, groups, part = arrived.y, arrived.p, arrived.groups, Part()
    part.add(_of_group(OVERALL, y, p, groups, sizes, level))
    for arm in sorted(set(arrived.received)):
        mine = arrived.received == arm
        own = None if groups is None else groups[mine]
        part.add(_of_group(arm, y[mine], p[mine], own, sizes, level))
    return part


def _of_group(
    name: str, y: FloatArray, p: FloatArray, groups: Any, sizes: AlarmThresholds, level: float
) -> Part:
    fewer = int(min(y.sum(), len(y) - y.sum()))
    if fewer < MIN_EVENTS:
        why = f"fewer than {MIN_EVENTS} patients with, or without, the outcome"
        return Part(not_estimable=[(f"Calibration, {name}", why)])
    slope_is_told, groups = fewer >= FEWEST_FOR_SLOPE, enough_clusters(groups)
    estimates = {
        LEVEL: calibration_in_the_large(y, p, clusters=groups, level=level),
        RATIO: observed_expected_ratio(y, p, clusters=groups, level=level),
    }
    if slope_is_told:
        estimates[SLOPE] = calibration_slope(y, p, clusters=groups, level=level)
    p_values = _p_values(y, p, estimates, groups)
    gap = float((y - p).mean())
    bounds = wald(gap, float((y - p).std(ddof=1) / np.sqrt(len(y))), level)
    findings = [
        _finding(name, GAP, gap, bounds, y, p, "Wald, sd / sqrt(n)"),
        *(
            _finding(
                name,
                measure,
                found.value,
                (found.lower, found.upper),
                y,
                p,
                found.method,
                p_value=p_values.get(measure, NAN),
                matters=_matters(measure, found.value, gap, sizes),
            )
            for measure, found in estimates.items()
        ),
    ]
    why = f"fewer than {FEWEST_FOR_SLOPE} patients with, or without, the outcome"
    return Part(
        findings=findings, not_estimable=[] if slope_is_told else [(f"{SLOPE.capitalize()}, {name}", why)]
    )


def _p_values(y: FloatArray, p: FloatArray, estimates: dict[str, Estimate], groups: Any) -> dict[str, float]:
    """Return p values: of likelihood-ratio tests, or with sites of cluster-robust Wald tests."""
    if groups is None:
        tests = weak_calibration_test(y, p)
        return {LEVEL: tests.in_the_large.p_value, SLOPE: tests.slope.p_value}
    df, perfect = len(np.unique(groups)) - 1, {LEVEL: 0.0, SLOPE: 1.0}
    return {
        measure: two_sided_p(found.value - perfect[measure], found.se, df=df)
        for measure, found in estimates.items()
        if measure in perfect
    }


def _matters(measure: str, value: float, gap: float, sizes: AlarmThresholds) -> bool:
    if measure == LEVEL:
        return abs(gap) > sizes.calibration
    return measure == SLOPE and not 1 / sizes.slope <= value <= sizes.slope


def _finding(
    name: str,
    measure: str,
    value: float,
    bounds: Any,
    y: FloatArray,
    p: FloatArray,
    method: str,
    **tested: Any,
) -> Finding:
    return Finding(
        section="calibration",
        name=name,
        measure=measure,
        value=float(value),
        lower=float(bounds[0]),
        upper=float(bounds[1]),
        expected=float(p.mean()),
        found=float(y.mean()),
        n=len(y),
        method=method,
        **tested,
    )
