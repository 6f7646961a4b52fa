"""Monitoring: whether a model in use still fits its patients, and whether its probabilities still hold."""

from typing import Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import check_choice, check_level
from treatsel.codebook import by_id, clean_covariates, frame_of
from treatsel.errors import InputError
from treatsel.monitoring._baseline import BaselineColumn, baseline_from, baseline_of
from treatsel.monitoring._calibration import calibration
from treatsel.monitoring._covariate_drift import drift, levels_of
from treatsel.monitoring._finding import Part, judged, table_of
from treatsel.monitoring._model_use import (
    MOST_RECOMMENDED,
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
from treatsel.selector import TreatmentSelector

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
    groups: Any = None,
    reference: Any = None,
    false_alarm_rate: float = 0.05,
    sizes: AlarmThresholds | None = None,
    level: float = 0.95,
) -> MonitoringReport:
    """Compare recent patients with what a model stores of its development cohort.

    Three families of tests share the false-alarm rate in equal parts: inputs (drift of covariates, faulty
    values) and calibration, each by Holm's method over all its tests; and a running test of calibration,
    whose part holds over all looks together. So the chance that a report gives any alarm is at most the
    rate, if nothing has changed, patients are independent, and predictions are as good as
    `sizes.tolerance` asks. An alarm also needs a difference that matters, see `AlarmThresholds`.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted, or from a file.
    X : DataFrame of shape (n_patients, n_columns)
        Recent patients: the covariates and, to judge calibration, the arm that they received. Values that
        break the codebook are flagged and counted.
    y : Series or array of shape (n_patients,), optional
        Outcome, 0 or 1; NaN: not known yet.
    outcome : str, optional
        Which outcome y is; None: the model's first.
    dates : Series or array of shape (n_patients,), optional
        Dates at which outcomes became known; they order the running test. None: the order of the rows.
    groups : Series or array of shape (n_patients,), optional
        Sites: intervals and tests of calibration are then robust to clusters, from 10 sites on.
    reference : DataFrame, optional
        Patients to compare the covariates with instead of the stored development summary, such as those
        of the first year of use.
    false_alarm_rate : float
        Chance of any alarm in a report though nothing has changed, at most.
    sizes : Sizes, optional
        What is large enough to matter.
    level : float
        Confidence level of the intervals, which are not adjusted for their number.

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
    check_is_fitted(selector, "models_")
    name = selector.outcomes_[0] if outcome is None else check_choice("outcome", outcome, selector.outcomes_)
    sizes = AlarmThresholds() if sizes is None else sizes
    rate = _check_rate(false_alarm_rate) / len(FAMILIES)
    check_level(level)
    frame = frame_of(X)
    _check_indices(frame, y=y, dates=dates, groups=groups)
    frame = by_id(frame, selector.codebook_)
    clean, found = clean_covariates(frame, selector.codebook_, selector.ranges_, "flag")
    received, known = received_in(selector, frame), _known(selector, reference)
    predictions = predictions_of(selector, clean, found, level)
    inputs, told, outcomes, sequence, running = Part(), Part(), Part(), Part(), None
    inputs.add(Part(cautions=_same_patients(selector, clean, received)))
    inputs.add(drift(known, clean, sizes, level))
    inputs.add(warnings_of(selector, predictions, sizes, level))
    told.add(predicted(selector, predictions, name, level))
    told.add(_recommended(selector, frame, level))
    if y is not None:
        arrived = ObservedOutcomes.of(selector, predictions.by_arm(name), frame, y, dates, groups)
        outcomes.add(Part(cautions=list(arrived.cautions)))
        outcomes.add(calibration(arrived, sizes, level))
        running, sequence = arrived.running(rate, sizes.tolerance)
    findings = [*judged(inputs.findings, rate), *told.findings, *judged(outcomes.findings, rate)]
    parts = (outcomes, sequence, inputs, told)
    return MonitoringReport(
        figures=table_of([*findings, *sequence.findings]),
        levels=levels_of(known, clean),
        running=running,
        outcome=name,
        false_alarm_rate=float(false_alarm_rate),
        sizes=sizes,
        level=level,
        cautions=tuple(text for part in parts for text in part.cautions),
        not_estimable=tuple(pair for part in parts for pair in part.not_estimable),
        model_id=selector.model_id_,
        n=len(frame),
        n_outcomes=0 if y is None else len(arrived.y),
        compared_with="the development cohort, as stored"
        if reference is None
        else "the patients given as reference",
    )


def _check_rate(rate: float) -> float:
    if not 0 < rate < 1:
        raise InputError(f"false_alarm_rate is {rate}; it must lie between 0 and 1, for example 0.05.")
    return float(rate)


def _check_indices(frame: pd.DataFrame, **given: Any) -> None:
    """Raise if something that has patients as index has others than X, or another order."""
    for name, values in given.items():
        if isinstance(values, pd.DataFrame):
            raise InputError(f"{name} must be one column; it is a table with {values.shape[1]}.")
        if isinstance(values, pd.Series) and not values.index.equals(frame.index):
            raise InputError(f"X and {name} need the same patients in the same order (index).")


def _known(selector: TreatmentSelector, reference: Any) -> list[BaselineColumn]:
    if reference is None:
        return baseline_of(selector)
    frame = by_id(frame_of(reference), selector.codebook_)
    return baseline_from(selector, clean_covariates(frame, selector.codebook_, selector.ranges_, "flag")[0])


def _same_patients(selector: TreatmentSelector, clean: pd.DataFrame, received: pd.Series | None) -> list[str]:
    """Return a caution if these are the very patients that the model was developed on."""
    if received is None or selector.fingerprint_ != fingerprint(clean.assign(**{selector.arm: received})):
        return []
    return ["These are the very patients that the model was developed on: there is nothing to monitor."]


def _recommended(selector: TreatmentSelector, frame: pd.DataFrame, level: float) -> Part:
    if len(selector.arms_) < 2:
        return Part(not_estimable=[("Recommendations", "the model knows one arm only")])
    latest = frame.tail(MOST_RECOMMENDED)
    return recommended(selector.recommend(latest, level=level, on_invalid="flag"), level)
