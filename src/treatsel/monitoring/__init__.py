"""Monitoring of a model in use: covariate drift, invalid values, and calibration with a sequential test."""

from typing import Any

import pandas as pd

from treatsel._checks import check_choice, check_level, count_of
from treatsel._disclosure import rounded_down
from treatsel._stats.alignment import check_order_of
from treatsel.codebook import by_id, clean_covariates, frame_of
from treatsel.errors import InputError
from treatsel.fitted import with_sites
from treatsel.monitoring._baseline import BaselineColumn, baseline_from, baseline_of
from treatsel.monitoring._calibration import calibration
from treatsel.monitoring._covariate_drift import drift, levels_of
from treatsel.monitoring._finding import PartResult, table_of, with_alarms
from treatsel.monitoring._model_use import (
    MAX_RECOMMENDED,
    predicted,
    predictions_of,
    recommended,
    warnings_of,
)
from treatsel.monitoring._observed_outcomes import ObservedOutcomes, received_in
from treatsel.monitoring._sequential_test import SequentialCalibrationTest, sequential_calibration_test
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.monitoring.report import FAMILIES, MonitoringReport
from treatsel.predictions import fingerprint
from treatsel.selector import TreatmentSelector, check_selector

__all__ = [
    "AlarmThresholds",
    "MonitoringReport",
    "SequentialCalibrationTest",
    "monitor",
    "sequential_calibration_test",
]


def monitor(
    selector: TreatmentSelector,
    X: Any,
    y: Any = None,
    *,
    outcome: str | None = None,
    dates: Any = None,
    clusters: Any = None,
    reference: Any = None,
    false_alarm_rate: float = 0.05,
    thresholds: AlarmThresholds | None = None,
    level: float = 0.95,
) -> MonitoringReport:
    """Compare recent patients with the development cohort of a model, as stored with it.

    Three families of tests share the false-alarm rate equally: (1) covariate drift and warnings, (2)
    calibration, and (3) a sequential test of calibration. The first two are each adjusted by Holm's method;
    the share of the third covers all looks together. If nothing has changed, patients are independent and no
    prediction is wrong by more than `thresholds.sequential_tolerance`, the probability of any alarm in a
    report is at most the rate. In the first two families, an alarm also requires a difference that exceeds
    its threshold, see `AlarmThresholds`.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted or loaded.
    X : DataFrame of shape (n_patients, n_columns)
        Recent patients: the covariates and, for calibration, the received arm. Values that violate the
        codebook are flagged and counted.
    y : Series or array of shape (n_patients,), optional
        Outcome, 0 or 1; NaN if it is not yet known.
    outcome : str, optional
        Name of the outcome in y; None: the model's first.
    dates : Series or array of shape (n_patients,), optional
        Dates at which outcomes became known, which order the sequential test; None: the order of the rows.
    clusters : Series or array of shape (n_patients,), optional
        Sites. With 10 sites or more, intervals and tests of calibration are cluster-robust.
    reference : DataFrame, optional
        Patients with whom covariates are compared, instead of the stored summary of the development cohort;
        for example those of the first year of use.
    false_alarm_rate : float
        Upper bound on the probability of any alarm in a report if nothing has changed.
    thresholds : AlarmThresholds, optional
        Smallest differences that may give an alarm.
    level : float
        Confidence level of the intervals, which are not adjusted for multiplicity.

    Returns
    -------
    MonitoringReport

    Raises
    ------
    InputError, CohortError
        If a covariate is missing, y is not 0/1, lengths or indices differ, or an arm is unknown.

    References
    ----------
    Davis et al. (2020), Journal of Biomedical Informatics 112, 103611 (calibration drift).
    doi:10.1016/j.jbi.2020.103611

    Examples
    --------
    >>> from treatsel.datasets import make_cohort
    >>> cohort = make_cohort(900, random_state=1).cohort
    >>> X, y = cohort.X, cohort.y["dropout"]
    >>> selector = TreatmentSelector(event_is_good=False, estimator="hierarchical", random_state=0)
    >>> report = monitor(selector.fit(X[:600], y[:600]), X[600:], y[600:])
    >>> len(report.alarms)
    0
    """
    check_selector(selector)
    name = selector.outcomes_[0] if outcome is None else check_choice("outcome", outcome, selector.outcomes_)
    thresholds = AlarmThresholds() if thresholds is None else thresholds
    rate = _check_rate(false_alarm_rate) / len(FAMILIES)
    check_level(level)
    given = frame_of(X)
    frame = by_id(given, selector.codebook_)
    _check_indices(given, frame, y=y, dates=dates, clusters=clusters)
    clean, found = clean_covariates(
        frame, selector.codebook_, selector.ranges_, "flag", selector.model_.known_levels
    )
    received, baseline = received_in(selector, frame), _baseline(selector, reference)
    predictions = predictions_of(selector, with_sites(selector.model_, clean, frame, "known"), found, level)
    covariates, use, outcomes = PartResult(), PartResult(), PartResult()
    sequence, test, n_outcomes = PartResult(), None, 0
    covariates.add(PartResult(cautions=_same_patients(selector, clean, received)))
    covariates.add(drift(baseline, clean, thresholds, level))
    covariates.add(warnings_of(selector, predictions, thresholds, level))
    use.add(predicted(selector, predictions, name, level))
    use.add(_recommended(selector, frame, level))
    if y is not None:
        observed = ObservedOutcomes.of(selector, predictions.by_arm(name), frame, y, dates, clusters)
        outcomes.add(PartResult(cautions=list(observed.cautions)))
        outcomes.add(calibration(observed, thresholds, level))
        test, sequence = observed.sequential_test(rate, thresholds.sequential_tolerance)
        n_outcomes = rounded_down(len(observed.y), len(frame))
    findings = [
        *with_alarms(covariates.findings, rate),
        *use.findings,
        *with_alarms(outcomes.findings, rate),
        *sequence.findings,
    ]
    parts = (outcomes, sequence, covariates, use)
    return MonitoringReport(
        figures=table_of(findings),
        levels=levels_of(baseline, clean),
        sequential_test=test,
        outcome=name,
        false_alarm_rate=float(false_alarm_rate),
        thresholds=thresholds,
        level=level,
        cautions=tuple(text for part in parts for text in part.cautions),
        not_estimable=tuple(pair for part in parts for pair in part.not_estimable),
        model_id=selector.model_id_,
        n=len(frame),
        n_outcomes=n_outcomes,
        compared_with="the development cohort, as stored"
        if reference is None
        else "the patients given as reference",
        titles=selector.codebook_.titles,
    )


def _check_rate(rate: float) -> float:
    if not 0 < rate < 1:
        raise InputError(f"false_alarm_rate is {rate}; it must lie between 0 and 1, for example 0.05.")
    return float(rate)


def _check_indices(given: pd.DataFrame, frame: pd.DataFrame, **vectors: Any) -> None:
    """Raise unless the index of each argument that has one equals that of X, or its ids."""
    for name, values in vectors.items():
        if isinstance(values, pd.DataFrame):
            raise InputError(
                f"{name} must be one column; it is a table with {count_of(values.shape[1], 'column')}."
            )
    check_order_of(given, frame, **vectors)


def _baseline(selector: TreatmentSelector, reference: Any) -> list[BaselineColumn]:
    if reference is None:
        return baseline_of(selector)
    frame = by_id(frame_of(reference), selector.codebook_)
    return baseline_from(selector, clean_covariates(frame, selector.codebook_, selector.ranges_, "flag")[0])


def _same_patients(selector: TreatmentSelector, clean: pd.DataFrame, received: pd.Series | None) -> list[str]:
    """Return a caution if the recent patients are the development cohort itself."""
    if received is None or selector.fingerprint_ != fingerprint(clean.assign(**{selector.arm: received})):
        return []
    return [
        "These patients are the development cohort of the model itself: the comparison is not informative."
    ]


def _recommended(selector: TreatmentSelector, frame: pd.DataFrame, level: float) -> PartResult:
    if len(selector.arms_) < 2:
        return PartResult(not_estimable=[("Recommendations", "the model has only one arm")])
    latest = frame.tail(MAX_RECOMMENDED)
    return recommended(selector.recommend(latest, level=level, on_invalid="flag"), level)
