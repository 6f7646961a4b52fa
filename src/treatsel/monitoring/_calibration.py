"""Calibration of the predictions in recent patients with observed outcomes."""

from dataclasses import replace
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._disclosure import SUPPRESSED, is_disclosive, is_small, rounded_down
from treatsel._stats.intervals import two_sided_p, wald
from treatsel.metrics import (
    Estimate,
    calibration_in_the_large,
    calibration_slope,
    enough_clusters,
    observed_expected_ratio,
    weak_calibration_test,
)
from treatsel.monitoring._finding import NAN, Finding, PartResult, counts_for_test
from treatsel.monitoring._observed_outcomes import ObservedOutcomes
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.validation.parts import MIN_EVENTS, OVERALL

GAP, LEVEL, RATIO, SLOPE = (
    "observed minus predicted",
    "calibration in the large",
    "observed / expected",
    "calibration slope",
)
MIN_EVENTS_FOR_SLOPE = 30  # events, and non-events; with fewer, the slope is too imprecise to act on


def calibration(outcomes: ObservedOutcomes, thresholds: AlarmThresholds, level: float) -> PartResult:
    """Return calibration overall and by received arm, each with a test of the level and one of the slope.

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Miller, Hui & Tierney (1991), Statistics in Medicine 10(8), 1213-1226. doi:10.1002/sim.4780100805
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7
    """
    y, p, clusters, part = outcomes.y, outcomes.p, outcomes.clusters, PartResult()
    part.add(_of_group(OVERALL, y, p, clusters, thresholds, level))
    by_arm = PartResult()
    for arm in sorted(set(outcomes.received)):
        mine = outcomes.received == arm
        own = None if clusters is None else clusters[mine]
        by_arm.add(_of_group(arm, y[mine], p[mine], own, thresholds, level))
    findings = [replace(one, n=rounded_down(one.n, outcomes.n_patients)) for one in part.findings]
    findings += _without_small_remainder(by_arm.findings, len(y))
    return PartResult(findings=findings, not_estimable=[*part.not_estimable, *by_arm.not_estimable])


def _without_small_remainder(findings: list[Finding], n: int) -> list[Finding]:
    """Return the findings of the arms, n rounded down to tens if few patients are in the arms left out."""
    sizes = {finding.name: finding.n for finding in findings}
    if not is_small(n - sum(sizes.values())):
        return findings
    return [replace(finding, n=finding.n - finding.n % 10) for finding in findings]


def _of_group(
    name: str, y: FloatArray, p: FloatArray, clusters: Any, thresholds: AlarmThresholds, level: float
) -> PartResult:
    fewer = int(min(y.sum(), len(y) - y.sum()))
    if fewer < MIN_EVENTS:
        if min(p.sum(), len(p) - p.sum()) >= MIN_EVENTS:  # many were predicted: too few is itself a finding
            return _of_few_events(name, y, p, thresholds)
        why = f"fewer than {MIN_EVENTS} patients with, or without, the outcome"
        return PartResult(not_estimable=[(f"Calibration, {name}", why)])
    has_slope, clusters = fewer >= MIN_EVENTS_FOR_SLOPE, enough_clusters(clusters)
    estimates = {
        LEVEL: calibration_in_the_large(y, p, clusters=clusters, level=level),
        RATIO: observed_expected_ratio(y, p, clusters=clusters, level=level),
    }
    if has_slope:
        estimates[SLOPE] = calibration_slope(y, p, clusters=clusters, level=level)
    p_values = _p_values(y, p, estimates, clusters)
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
                exceeds_threshold=_exceeds_threshold(measure, found.value, gap, thresholds),
            )
            for measure, found in estimates.items()
        ),
    ]
    why = f"fewer than {MIN_EVENTS_FOR_SLOPE} patients with, or without, the outcome"
    return PartResult(
        findings=findings, not_estimable=[] if has_slope else [(f"{SLOPE.capitalize()}, {name}", why)]
    )


def _of_few_events(name: str, y: FloatArray, p: FloatArray, thresholds: AlarmThresholds) -> PartResult:
    """Test the level where outcomes, or their absence, are too rare for estimates, though not predicted so.

    The score test needs enough predicted events only: z = sum(y - p) / sqrt(sum p (1 - p)). A small count is
    suppressed, but not its alarm.
    """
    n, k = len(y), int(y.sum())
    gap = min((each / n - float(p.mean()) for each in counts_for_test(k, n)), key=abs)
    p_value = two_sided_p(n * gap, float(np.sqrt((p * (1 - p)).sum())))
    hidden = is_disclosive(k, n)
    nothing, method = (NAN, NAN), SUPPRESSED if hidden else "score test, normal approximation"
    values = {GAP: gap, RATIO: k / float(p.sum()), LEVEL: NAN}
    findings = [
        replace(
            _finding(name, measure, NAN if hidden else value, nothing, y, p, method),
            observed=NAN if hidden else k / n,
        )
        for measure, value in values.items()
    ]
    exceeds = abs(gap) > thresholds.calibration_difference
    findings[-1] = replace(findings[-1], p_value=p_value, exceeds_threshold=exceeds)
    why = f"fewer than {MIN_EVENTS_FOR_SLOPE} patients with, or without, the outcome"
    return PartResult(findings=findings, not_estimable=[(f"{SLOPE.capitalize()}, {name}", why)])


def _p_values(
    y: FloatArray, p: FloatArray, estimates: dict[str, Estimate], clusters: Any
) -> dict[str, float]:
    """Return p values of likelihood-ratio tests, or of cluster-robust Wald tests with clusters.

    The Wald tests use Student's t with n_clusters - 1 degrees of freedom, as their intervals do.
    """
    if clusters is None:
        tests = weak_calibration_test(y, p)
        return {LEVEL: tests.in_the_large.p_value, SLOPE: tests.slope.p_value}
    df, ideal = len(np.unique(clusters)) - 1, {LEVEL: 0.0, SLOPE: 1.0}
    return {
        measure: two_sided_p(found.value - ideal[measure], found.se, df=df)
        for measure, found in estimates.items()
        if measure in ideal
    }


def _exceeds_threshold(measure: str, value: float, gap: float, thresholds: AlarmThresholds) -> bool:
    if measure == LEVEL:
        return abs(gap) > thresholds.calibration_difference
    return measure == SLOPE and not 1 / thresholds.calibration_slope <= value <= thresholds.calibration_slope


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
        observed=float(y.mean()),
        n=len(y),
        method=method,
        **tested,
    )
