"""Prediction of files larger than memory, chunk by chunk."""

import datetime
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from threadpoolctl import threadpool_limits

from treatsel._checks import check_choice, check_level, count_of
from treatsel._jobs import results_of
from treatsel.additive import SERVICES
from treatsel.codebook import SAFETY_CODES, Codebook
from treatsel.errors import CohortError, Fault, InputError
from treatsel.manifest import date_of
from treatsel.selector import TreatmentSelector, check_selector
from treatsel.table import SupportsText, TableWriter, packed, read_chunks

CHUNK = 8_192  # patients; a multiple of the 512 patients per block in which intervals are computed
IDS_CHUNK = 262_144  # patients per chunk when only ids are read

Reading = dict[str, str | None]  # stated separator, decimal sign and encoding
Progress = Callable[[int, int], None]  # patients done, total


def predict_file(
    selector: TreatmentSelector,
    patients: str | Path,
    out: str | Path | SupportsText,
    *,
    level: float | None = 0.95,
    on_invalid: str = "raise",
    date: datetime.date | str | None = None,
    service: str = "known",
    n_jobs: int | None = None,
    progress: Progress | None = None,
    **reading: str | None,
) -> pd.DataFrame:
    """Predict all patients in a file of any size, and write the predictions to another file.

    Memory holds a few chunks of 8,192 patients and, in a first pass that checks ids, 16 bytes per patient.
    The numbers equal those of `TreatmentSelector.predict` for the whole file, for any `n_jobs`.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted or loaded.
    patients : path
        CSV or Parquet, one patient per row.
    out : path or text stream
        CSV or Parquet, by the extension: a long table of patient, outcome, arm, probability, lower, upper.
        The file appears once it is complete; an interrupted run leaves an existing file unchanged.
    level : float or None
        Confidence level of the intervals; None omits lower and upper, and takes a fraction of the time.
    on_invalid : {"raise", "flag"}
        As in `TreatmentSelector.predict`.
    date : date or str, optional
        As in `TreatmentSelector.predict`; with a model that has expired, ``model_expired`` is counted.
    service : {"known", "average", "new"}
        As in `TreatmentSelector.predict`.
    n_jobs : int, optional
        Number of chunks predicted in parallel, as in joblib.
    progress : callable, optional
        Called with the number of patients done and the total.
    **reading
        How a text file is written, if this is to be stated: separator, decimal, encoding; as in
        `treatsel.table.read_csv`.

    Returns
    -------
    DataFrame
        Number of patients with each warning: code, column, n_patients; those about safety items first.

    Raises
    ------
    CohortError
        If the file cannot be read, or a chunk cannot be predicted. The message gives the row in which each
        fault first occurs in the chunk (row 1: the first patient). Later chunks are not checked.
    InputError
        If an id is missing or occurs twice, or there are no rows; raised before any prediction.
    """
    check_choice("on_invalid", on_invalid, ["raise", "flag"])
    check_choice("service", service, SERVICES)
    if n_jobs == 0:
        raise InputError("n_jobs is 0; give a number of jobs, or -1 for all cores.")
    level = None if level is None else check_level(level)
    day = None if date is None else date_of("date", date)
    book = check_selector(selector).codebook_
    total = _count_patients(patients, book, reading)
    site = selector.model_.site_column if service == "known" else None
    names = [*book.covariates, *book.names("safety_item", "id"), *([site] if site else [])]
    served = selector if level is not None else _without_draws(selector)
    options = {"level": level, "on_invalid": on_invalid, "date": day, "service": service}
    counts, done = [], 0
    with TableWriter(out) as writer:
        chunks = read_chunks(patients, book, rows=CHUNK, columns=names, **reading)
        calls = (
            (served, chunk, number * CHUNK, writer.parquet, options) for number, chunk in enumerate(chunks)
        )
        for piece, n_rows, found in in_order(_predict, calls, n_jobs):
            writer.write(piece)
            counts.append(found)
            done += n_rows
            if progress is not None:
                progress(done, total)
    joined = pd.concat(counts, ignore_index=True)
    grouped = joined.groupby(["code", "column"], dropna=False, as_index=False)
    summed: pd.DataFrame = grouped["n_patients"].sum()
    return summed.sort_values(
        "code", key=lambda codes: ~codes.isin(SAFETY_CODES), kind="stable", ignore_index=True
    )


def in_order(
    function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], n_jobs: int | None
) -> Iterator[Any]:
    """Yield the results of calls in order, with at most 4 calls per job in memory."""
    jobs, waiting = effective_n_jobs(n_jobs), iter(calls)
    while some := list(islice(waiting, 1 if jobs == 1 else 4 * jobs)):
        yield from results_of(function, partial(iter, some), n_jobs=n_jobs)


def _predict(
    selector: TreatmentSelector,
    chunk: pd.DataFrame,
    start: int,
    parquet: bool,
    options: dict[str, Any],
) -> tuple[Any, int, pd.DataFrame]:
    """Return the long table of a chunk in written form, its number of rows, and counts of warnings."""
    level = options["level"]
    try:
        # one BLAS thread: the last bit of an interval must not depend on the number of cores
        with threadpool_limits(limits=1, user_api="blas"):
            predictions = selector.predict(chunk, **{**options, "level": level or 0.95})
    except CohortError as error:
        raise _located(error, chunk, selector.codebook_, start) from None
    table, found = predictions.to_frame(), predictions.warnings
    if level is None:
        table = table.drop(columns=["lower", "upper"])
        found = found[found["code"] != "no_interval"]
    counts = found.groupby(["code", "column"], dropna=False).size().reset_index(name="n_patients")
    return packed(table, parquet=parquet), len(chunk), counts


def _without_draws(selector: TreatmentSelector) -> TreatmentSelector:
    """Return the same selector without posterior draws, which only intervals need."""
    bare = copy(selector)
    bare.model_ = selector.model_.without_draws()
    return bare


def _located(error: CohortError, chunk: pd.DataFrame, book: Codebook, start: int) -> CohortError:
    """Return the error with the row of the file in which each fault first occurs."""
    faults = [_with_row(fault, chunk, book, start) for fault in error.faults]
    if not faults:
        return error
    return CohortError(f"Rows {start + 1:,} to {start + len(chunk):,} cannot be predicted:", faults)


def _with_row(fault: Fault, chunk: pd.DataFrame, book: Codebook, start: int) -> Fault:
    if fault.column is None or fault.column not in chunk.columns:
        return fault
    field, column = book[fault.column], chunk[fault.column]
    for violation in field.parse(column, book.missing_values)[1]:
        if field.fault(violation.code, violation.count) == fault:
            row = start + 1 + int(np.argmax(violation.mask.to_numpy(dtype=bool)))
            return replace(fault, problem=f"{fault.problem}, first in row {row:,}")
    return fault


# --- ids


def _count_patients(path: str | Path, book: Codebook, reading: Reading) -> int:
    """Return the number of rows, after checking that ids are complete and unique."""
    n, parts, missing = 0, [], 0
    for ids, n_rows in _ids(path, book, reading):
        n += n_rows
        if ids is not None:
            missing += int(ids.isna().sum())
            parts.append(pd.util.hash_array(ids.dropna().to_numpy()))
    if n == 0:
        raise InputError(f"{path} has no rows; it needs at least one patient.")
    if missing:
        raise InputError(
            f"{path} has {count_of(missing, 'patient')} without an id. Each patient needs a unique id."
        )
    hashes = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)
    parts.clear()
    hashes.sort()
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if len(repeated) and (n_twice := _count_twice(path, book, reading, repeated)):
        raise InputError(
            f"The ids of {path} include {count_of(n_twice, 'duplicate')}. Each id must occur once."
        )
    return n


def _ids(path: str | Path, book: Codebook, reading: Reading) -> Iterator[tuple[pd.Series | None, int]]:
    """Yield the ids of a file (column or Parquet index) and the number of rows; None: it has no ids."""
    name = book.name("id")
    for chunk in read_chunks(path, book, rows=IDS_CHUNK, columns=() if name is None else (name,), **reading):
        if name is not None and name in chunk.columns:
            yield chunk[name].astype("object"), len(chunk)
        elif isinstance(chunk.index, pd.RangeIndex):
            yield None, len(chunk)
        else:
            yield chunk.index.to_series().astype("object"), len(chunk)


def _count_twice(path: str | Path, book: Codebook, reading: Reading, hashes: np.ndarray) -> int:
    """Return the number of repeated ids among those with these hashes, which distinct ids may share."""
    seen: set[Any] = set()
    n = 0
    for ids, _ in _ids(path, book, reading):
        if ids is not None:
            found = ids[np.isin(pd.util.hash_array(ids.to_numpy()), hashes)].tolist()
            n += len(found)
            seen.update(found)
    return n - len(seen)
