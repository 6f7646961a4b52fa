"""Update a selector in new patients."""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.manifest import date_of
from treatsel.models import Method, RecalibratedClassifier
from treatsel.selector import TreatmentSelector, check_selector
from treatsel.updating._choice import (
    calibration_of,
    check_applicable,
    check_not_refit,
    closed_test,
    out_of_fold,
)
from treatsel.updating._patients import Patients, new_patients, patients_of, warn_of_arms
from treatsel.updating._record import record_of
from treatsel.updating._result import OutcomeUpdate, SelectorUpdate
from treatsel.validation import ModelUpdate

METHODS = ("auto", "none", "intercept", "slope", "per_arm")


def update_selector(
    selector: TreatmentSelector,
    cohort: Cohort,
    *,
    method: str = "auto",
    outcomes: Sequence[str] | None = None,
    alpha: float = 0.05,
    date: datetime.date | str | None = None,
    random_state: int = 0,
) -> SelectorUpdate:
    """Recalibrate a selector to new patients, as far as they require it.

    logit' = shift_k + slope x logit for every outcome, with intervals (draws) recalibrated as well. Codebook,
    arms, expected ranges, assignment model, evidence by arm, `arm_means_` and the best single arm remain
    those of the development cohort. `treatsel.save_model` writes the updated selector with the record of the
    update; stored validations are those of the earlier model and are not carried over.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted, or from a model file. It is not changed.
    cohort : Cohort
        New patients, with at least 10 with and 10 without each outcome.
    method : {"auto", "none", "intercept", "slope", "per_arm"}, default "auto"
        "auto": the smallest change that a closed test does not reject, see
        `treatsel.validation.update_closed_test`; a model that is right is changed with probability at most
        `alpha`. A shift for each arm is considered if every arm has 10 patients with and 10 without the
        outcome, and a refit if there are 10 of the rarer value for each of its parameters; otherwise the test
        is among the smaller changes. Or the name of a change, see `RecalibratedClassifier`.
    outcomes : sequence of str, optional
        Outcomes to update; None: all of the model that the cohort has.
    alpha : float, default 0.05
        Level of the closed test.
    date : date or str such as "2027-01-31", optional
        Date of the update, for the record.
    random_state : int, default 0
        Seed of the folds of the cross-validation.

    Returns
    -------
    SelectorUpdate
        Its `selector` is the updated one.

    Raises
    ------
    InputError
        If an outcome is not in the cohort, has another definition or direction there, or too few events; if
        an arm is unknown, or has too few events for "per_arm"; if these are patients of the development
        cohort; if the model assumes that lost outcomes differ (``missing={"shift": ...}``); if the estimated
        slope is not positive; or if the closed test rejects every recalibration: a new model is then needed.
    CohortError
        If a covariate is missing, or a value violates the codebook of the model.

    Warns
    -----
    TreatselWarning
        If outcomes were not observed, no patient received an arm, or patients of the development cohort were
        left out.

    Notes
    -----
    Patients are treated as independent in the test. With random effects of sites, the model is recalibrated
    as it is served: at known sites of the cohort, which stay known if 10 of the patients are there.

    References
    ----------
    Vergouwe et al. (2017), Statistics in Medicine 36(28), 4529-4539. doi:10.1002/sim.7179
    Steyerberg et al. (2004), Statistics in Medicine 23(16), 2567-2586. doi:10.1002/sim.1844

    Examples
    --------
    >>> import treatsel as ts
    >>> from sklearn.linear_model import LogisticRegression
    >>> from treatsel.models import PooledClassifier
    >>> def cohort_of(seed, level):
    ...     rng = np.random.default_rng(seed)
    ...     frame = pd.DataFrame({"age": rng.normal(40, 12, 400), "arm": rng.choice(["CBT", "SSRI"], 400)})
    ...     p = 1 / (1 + np.exp(-level - (frame["age"] - 40) / 15))
    ...     return ts.Cohort(frame.assign(remission=(rng.random(400) < p).astype(int)))
    >>> model = PooledClassifier(LogisticRegression())
    >>> selector = ts.TreatmentSelector(estimator=model, event_is_good=True, random_state=0)
    >>> found = update_selector(selector.fit(cohort_of(1, level=0.0)), cohort_of(4, level=0.8))
    >>> found.outcomes["remission"].method
    'intercept'
    """
    check_selector(selector)
    if method == "refit":
        raise InputError(
            "A refit is not applied to a model: develop a new model on these patients (treatsel train), and "
            "validate it."
        )
    check_choice("method", method, METHODS)
    day = None if date is None else date_of("date", date).isoformat()
    names, alpha = _named(selector, cohort, outcomes), check_level(alpha)
    cohort = new_patients(selector, cohort)
    learned = {
        name: _learned(selector, patients_of(selector, cohort, name), name, method, alpha) for name in names
    }
    models = {name: each.model for name, each in learned.items() if each.model is not None}
    changed = selector.with_models(models)
    updates = {name: _outcome((selector, changed), name, learned[name], random_state) for name in names}
    result = SelectorUpdate(selector=selector, outcomes=updates, parent_id=selector.model_id_, date=day)
    if not models:
        return result
    record = record_of(
        updates,
        parent_id=selector.model_id_,
        date=day,
        fingerprint=selector.fingerprint_of(cohort.frame, cohort.received),
        n_all=len(cohort),
    )
    changed.model_ = replace(changed.model_, updates=(*selector.model_.updates, record))
    return replace(result, selector=changed)


class _Learned(NamedTuple):
    """The recalibrated model of an outcome (None: not changed), its patients, and the closed test, if any."""

    model: RecalibratedClassifier | None
    patients: Patients
    found: ModelUpdate | None
    alpha: float


def _named(selector: TreatmentSelector, cohort: Cohort, outcomes: Sequence[str] | None) -> list[str]:
    """Return the outcomes to update: those named, or all that model and cohort have."""
    if outcomes is None:
        found = [name for name in selector.outcomes_ if name in cohort.frame]
        if not found:
            raise InputError(f"The cohort has none of the outcomes of the model: {selector.outcomes_}.")
        return found
    named = [outcomes] if isinstance(outcomes, str) else list(dict.fromkeys(outcomes))
    if not named:
        raise InputError("outcomes is empty. Name an outcome, or give None for all.")
    return [check_choice("outcome", name, selector.outcomes_) for name in named]


def _learned(
    selector: TreatmentSelector, patients: Patients, name: str, method: str, alpha: float
) -> _Learned:
    """Choose and fit the recalibration of an outcome."""
    model, found, chosen = selector.models_[name], None, method
    if method == "auto":
        found = closed_test(model, patients, selector.arms_, alpha)
        check_not_refit(found, name)
        chosen = found.chosen
    named: Method = chosen  # type: ignore[assignment] # checked by the caller, or of the test
    check_applicable(named, patients, selector.arms_, name)
    warn_of_arms(patients, selector.arms_, name, chosen)
    if chosen == "none":
        return _Learned(None, patients, found, alpha)
    updated = RecalibratedClassifier(model, method=named, arm=patients.arm).fit(patients.X, patients.y)
    if updated.slope_ <= 0:
        raise InputError(
            f"The slope of {name!r} in these patients is {updated.slope_:.2f}: the model orders them "
            "wrongly, and a recalibration would reverse its predictions. Develop a new model."
        )
    return _Learned(updated, patients, found, alpha)


def _outcome(
    selectors: tuple[TreatmentSelector, TreatmentSelector], name: str, learned: _Learned, random_state: int
) -> OutcomeUpdate:
    """Return what the update does to one outcome; `selectors`: before and after."""
    model, patients, found, alpha = learned
    arms, good = selectors[0].arms_, bool(selectors[0].event_is_good_[name])
    method: Method = "none" if model is None else model.method
    tested: list[Any] = [method] if found is None else list(found.table.index)
    before, after = (each.predict_by_arm(patients.X, name) for each in selectors)
    crossed = out_of_fold(selectors[0].models_[name], patients, tested, found, random_state)
    own = np.arange(len(patients.y)), patients.codes
    parts = {"before": before.to_numpy()[own], "after": after.to_numpy()[own], "cross-validated": crossed}
    tables = [calibration_of(patients, p).assign(predictions=kind) for kind, p in parts.items()]
    top = [_best(table.to_numpy(), good) for table in (before, after)]
    return OutcomeUpdate(
        outcome=name,
        method=method,
        chosen_by="name" if found is None else "closed test",
        tests=pd.DataFrame(columns=["statistic", "df", "p_value", "rejected"])
        if found is None
        else found.tests,
        reference=None if found is None else str(found.table.index[-1]),
        alpha=alpha,
        shift=pd.Series(0.0, index=arms) if model is None else model.shift_,
        slope=1.0 if model is None else model.slope_,
        calibration=pd.concat(tables, ignore_index=True)[
            ["predictions", "measure", "value", "lower", "upper"]
        ],
        share_moved=float((top[0] != top[1]).mean()),
        best_arm=arms[int(_best(after.mean().to_numpy()[None], good)[0])],
        n=len(patients.y),
        n_events=int(patients.y.sum()),
    )


def _best(table: FloatArray, good: bool) -> np.ndarray:
    """Return the number of the arm with the best prediction, by row."""
    return np.asarray(table.argmax(axis=1) if good else table.argmin(axis=1))
