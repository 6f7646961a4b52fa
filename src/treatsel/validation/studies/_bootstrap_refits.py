"""Refits of a modeling procedure in bootstrap resamples of its patients."""

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from treatsel._checks import FloatArray
from treatsel._jobs import run_jobs
from treatsel._stats.resampling import Resamples
from treatsel.errors import InputError, TreatselError, TreatselWarning
from treatsel.validation.studies._performance import (
    PERFORMANCE,
    Numbers,
    Patients,
    best_arm_of,
    performance,
    prediction_errors,
)
from treatsel.validation.studies._refits import BootstrapRefits

LOG = logging.getLogger(__name__)
# Resamples within each outer one of the two-stage bootstrap. The mean over 100 is precise enough: its error
# adds about 1 % to the variance over the outer resamples, at a cost of 100 fits for each of these.
INNER = 100
Rows = npt.NDArray[np.intp]
Result = dict[str, Numbers] | str  # performance in the resample, in all patients and out of bag; or an error


def number_of(resamples: Any) -> int:
    """Return the number of resamples."""
    if isinstance(resamples, BootstrapRefits):
        return resamples.n_resamples
    return int(resamples) if isinstance(resamples, int | np.integer) else len(np.asarray(resamples))


def _draw(patients: Patients, resamples: Any, seed: int) -> Iterator[Rows]:
    """Yield the rows of each resample; weights are drawing probabilities unless clusters are drawn whole."""
    n = len(patients)
    if not isinstance(resamples, int | np.integer):
        rows = np.asarray(resamples)
        if rows.ndim != 2 or rows.dtype.kind not in "iu" or not rows.size:
            raise InputError(
                "resamples must be a number, or integer row positions of shape (n_resamples, n_drawn)."
            )
        if rows.min() < 0 or rows.max() >= n:
            raise InputError(f"resamples holds rows outside 0 to {n - 1}. Count rows from 0.")
        yield from rows
        return
    weight = patients.weight if patients.weight is not None and patients.clusters is None else np.ones(n)
    drawn = Resamples.of(weight, clusters=patients.clusters, n_resamples=int(resamples), seed=seed)
    for counts in drawn:
        yield np.repeat(np.arange(n), counts.astype(np.intp))


def run(
    model: Any,
    patients: Patients,
    resamples: Any,
    seed: int,
    *,
    n_jobs: int | None = None,
    quiet: bool = False,
) -> list[Result]:
    """Return the performance in each resample, in their order."""
    if isinstance(resamples, BootstrapRefits):
        return _measured_again(patients, resamples)
    total, given = number_of(resamples), not isinstance(resamples, int | np.integer)
    weighted = given or patients.clusters is not None
    found: dict[int, Result] = {}
    for number, result in run_jobs(
        _resample,
        lambda: ((model, patients, rows, weighted) for rows in _draw(patients, resamples, seed)),
        n_jobs=n_jobs,
    ):
        found[number] = result
        if not quiet and len(found) * 10 // total > (len(found) - 1) * 10 // total:
            LOG.info("Optimism: %d of %d resamples", len(found), total)
    return [found[number] for number in range(len(found))]


def _resample(model: Any, patients: Patients, rows: Rows, weighted: bool) -> Result:
    """Fit the model to one resample; return its performance there, in all patients and out of bag.

    If the fit fails, return the kind of error instead. `weighted`: whether rows drawn keep their weight.
    """
    drawn = patients.take(rows, weighted=weighted)
    with warnings.catch_warnings():
        for category in (
            TreatselWarning,
            ConvergenceWarning,
        ):  # the fit to all patients gives its own warnings
            warnings.simplefilter("ignore", category)
        try:
            if len(np.unique(drawn.codes)) < len(patients.propensity.columns):
                return "an arm without patients"
            fitted = drawn.fit(clone(model))
            within, table = drawn.predict(fitted), patients.predict(fitted)
        except (TreatselError, ValueError, np.linalg.LinAlgError) as error:
            return type(error).__name__
        return _measured(patients, rows, drawn, within, table)


def _measured(
    patients: Patients, rows: Rows, drawn: Patients, within: pd.DataFrame, table: pd.DataFrame
) -> dict[str, Numbers]:
    """Return the performance of a refit's predictions in the resample, in all patients and out of bag."""
    best = best_arm_of(drawn, within)
    found = {"bootstrap": performance(drawn, within)}
    found["test"] = performance(patients, table, comparator=best)
    counts = True if patients.weight is None else patients.weight > 0
    left_out = np.flatnonzero((np.bincount(rows, minlength=len(patients)) == 0) & counts)
    if len(left_out):
        part = table.iloc[left_out].reset_index(drop=True)
        found["out_of_bag"] = prediction_errors(patients.take(left_out), part, comparator=best)
    return found


def _measured_again(patients: Patients, refits: BootstrapRefits) -> list[Result]:
    """Return the performance of refits that were made before."""
    arms = list(patients.propensity.columns)
    order = refits.original.columns.get_indexer(pd.Index(arms))
    results: list[Result] = list(refits.failures)
    for values, counts in zip(refits.by_arm, refits.counts, strict=True):
        rows = np.repeat(np.arange(len(patients)), counts)
        table = pd.DataFrame(values[:, order].astype(float), columns=pd.Index(arms))
        within = table.iloc[rows].reset_index(drop=True)
        results.append(_measured(patients, rows, patients.take(rows), within, table))
    return results


def original_of(refits: BootstrapRefits, patients: Patients) -> pd.DataFrame:
    """Return the predictions of the model that was refitted, after checking that they are of the patients.

    Raises
    ------
    InputError
        If patients are weighted, or are others, or arms differ.
    """
    arms = list(patients.propensity.columns)
    if len(refits.original) != len(patients) or set(refits.original.columns) != set(arms):
        raise InputError(
            f"resamples holds refits for {len(refits.original):,} patients under the arms "
            f"{list(refits.original.columns)}; X has {len(patients):,} patients under {arms}. Give the "
            "patients of the refits, in their order (refits.among selects those whose outcome was observed)."
        )
    if patients.weight is not None:
        raise InputError("sample_weight cannot be combined with refits, which count each patient once.")
    return refits.original[arms].reset_index(drop=True)


def long_table(results: list[Result]) -> pd.DataFrame:
    """Return one row for each measure and resample, failed resamples excluded."""
    records = [
        {"resample": number, "measure": name}
        | {on: found.get(on, {}).get(name, np.nan) for on in ("bootstrap", "test", "out_of_bag")}
        for number, found in enumerate(results)
        if not isinstance(found, str)
        for name in PERFORMANCE
    ]
    return pd.DataFrame(records, columns=["resample", "measure", "bootstrap", "test", "out_of_bag"])


def corrected_again(
    model: Any, patients: Patients, n_outer: int, seed: int, n_jobs: int | None
) -> dict[str, FloatArray]:
    """Return the corrected values of each measure in the outer resamples."""
    weighted = patients.clusters is not None

    def calls() -> Iterator[tuple[Any, ...]]:
        for k, rows in enumerate(_draw(patients, n_outer, seed + 1)):
            yield model, patients.take(rows, weighted=weighted), k

    found: dict[int, Numbers] = {}
    for number, row in run_jobs(_corrected, calls, n_jobs=n_jobs):
        found[number] = row
        LOG.info("Optimism, two-stage: %d of %d outer resamples", len(found), n_outer)
    in_order = [found[number] for number in range(len(found))]
    return {name: np.array([row.get(name, np.nan) for row in in_order]) for name in PERFORMANCE}


def _corrected(model: Any, patients: Patients, seed: int) -> Numbers:
    """Return the corrected measures of one outer resample; an empty dict if the fit fails."""
    whole = _resample(model, patients, np.arange(len(patients)), True)
    if isinstance(whole, str):
        return {}
    runs = long_table(run(model, patients, INNER, seed, quiet=True))
    lost = (runs["bootstrap"] - runs["test"]).groupby(runs["measure"]).mean()
    return {name: value - float(lost.get(name, np.nan)) for name, value in whole["bootstrap"].items()}
