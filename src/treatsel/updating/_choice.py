"""Choosing a recalibration, and its calibration: before, after, and in patients it was not fitted to."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._reporting.format import with_p
from treatsel._stats.estimate import Estimate
from treatsel._stats.folds import balanced_folds
from treatsel.errors import InputError
from treatsel.metrics import (
    calibration_in_the_large,
    calibration_slope,
    enough_clusters,
    observed_expected_ratio,
)
from treatsel.models import Method, learn_recalibration
from treatsel.models.recalibrated import base_logits
from treatsel.updating._patients import MIN_EVENTS, Patients
from treatsel.validation import ModelUpdate, update_closed_test

N_FOLDS = 10  # as usual where a model has few parameters; each fold is recalibrated in milliseconds
MEASURES: dict[str, Callable[..., Estimate]] = {
    "calibration in the large": calibration_in_the_large,
    "calibration slope": calibration_slope,
    "observed / expected": observed_expected_ratio,
}


def closed_test(model: Any, patients: Patients, arms: Sequence[Any], alpha: float) -> ModelUpdate:
    """Return the closed test of all methods that these patients can tell apart.

    A shift for each arm needs 10 events and 10 non-events in every arm, and a refit 10 of the rarer value for
    each parameter: with fewer, the likelihood ratio does not follow its distribution.
    """
    methods: list[Method] = ["none", "intercept", "slope"]
    if not patients.arms_short_of_events(len(arms)):
        methods.append("per_arm")
    options: dict[str, Any] = {"alpha": alpha, "arm": patients.arm}
    found = update_closed_test(model, patients.X, patients.y, methods=[*methods, "refit"], **options)
    refit = found.table.loc["refit"]
    if refit["problem"] is None and patients.n_rarer >= MIN_EVENTS * refit["n_parameters"]:
        return found
    return update_closed_test(model, patients.X, patients.y, methods=methods, **options)


def check_applicable(method: Method, patients: Patients, arms: Sequence[Any], name: str) -> None:
    """Raise if a named method needs more patients than there are."""
    if method != "per_arm":
        return
    if short := patients.arms_short_of_events(len(arms)):
        named = [arms[k] for k in short]
        raise InputError(
            f"A shift for each arm needs at least {MIN_EVENTS} patients with and {MIN_EVENTS} without "
            f"{name!r} in every arm; these have fewer: {named}. Choose 'slope' or 'intercept'."
        )


def check_not_refit(found: ModelUpdate, name: str) -> None:
    """Raise if the closed test rejects every recalibration."""
    if found.chosen == "refit":
        best = found.tests.iloc[-1]
        raise InputError(
            f"The closed test rejects every recalibration of {name!r} (the last one, "
            f"{found.tests.index[-1]!r}, with {with_p(float(best['p_value']))}): effects of "
            "covariates or modifiers differ in these patients. Develop a new model on them (treatsel train), "
            "or name a method to recalibrate all the same."
        )


def calibration_of(patients: Patients, p: FloatArray) -> pd.DataFrame:
    """Return the calibration of predictions for the received arms: one row per measure."""
    clusters = None if patients.groups is None else enough_clusters(patients.groups.to_numpy())
    rows = [measure(patients.y, p, clusters=clusters) for measure in MEASURES.values()]
    return pd.DataFrame(
        [{"measure": label, **_shown(row)} for label, row in zip(MEASURES, rows, strict=True)]
    )


def _shown(estimate: Any) -> dict[str, float]:
    return {key: float(getattr(estimate, key)) for key in ("value", "lower", "upper")}


def out_of_fold(
    model: Any, patients: Patients, methods: Sequence[Method], found: ModelUpdate | None, random_state: int
) -> FloatArray:
    """Return predictions for the received arms by recalibrations fitted without the patient's fold.

    `methods`: the named one, or, with the closed test `found`, all those it compared; the test is repeated in
    every fold. Where it rejects all recalibrations, or a fold has no finite estimate, the richest one that
    has an estimate is used. Persons and sites are kept in one fold.
    """
    covariates = patients.X.drop(columns=patients.arm)
    logits, p = base_logits(model, covariates), np.full(len(patients.y), np.nan)
    received = patients.X[patients.arm]
    folds = balanced_folds(
        received, patients.y, groups=patients.groups, n_splits=N_FOLDS, random_state=random_state
    )
    for train, test in folds:
        part, chosen = patients.take(train), methods[-1]
        if found is not None:
            table = pd.DataFrame(expit(logits[train]), index=part.X.index, columns=list(found.by_arm["none"]))
            again = update_closed_test(
                table, part.X, part.y, methods=methods, alpha=found.alpha, arm=patients.arm
            )
            chosen = again.chosen  # type: ignore[assignment] # one of the methods
        p[test] = _applied(chosen, logits, part, patients, train, test)
    return p


def _applied(
    chosen: Method,
    logits: FloatArray,
    part: Patients,
    patients: Patients,
    train: np.ndarray,
    test: np.ndarray,
) -> FloatArray:
    """Return predictions of a fold by the chosen recalibration, or the next smaller one with an estimate."""
    ordered: tuple[Method, ...] = ("per_arm", "slope", "intercept", "none")
    start = 0 if chosen == "refit" else ordered.index(chosen)
    for method in ordered[start:]:
        found = learn_recalibration(method, logits[train], part.codes, part.y, np.ones(len(train)))
        own = found.apply(logits[test])[np.arange(len(test)), patients.codes[test]]
        if found.problem is None and np.isfinite(own).all():
            break
    return np.asarray(expit(own))
