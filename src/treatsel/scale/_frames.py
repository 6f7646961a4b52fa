"""By-arm tables of partitioned data frames: in chunks, with Dask, with Spark."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_choice, count_of, listed, look_alikes
from treatsel.additive import SERVICES
from treatsel.errors import CohortError, Fault, InputError
from treatsel.scale._files import CHUNK, Progress, in_order
from treatsel.selector import TreatmentSelector, check_selector


def predict_in_chunks(
    selector: TreatmentSelector,
    X: Any,
    outcome: str | None = None,
    *,
    on_invalid: str = "raise",
    service: str = "known",
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return `selector.predict_by_arm` of a frame, chunk by chunk.

    Memory use grows only with the result.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted or loaded.
    X : DataFrame or Arrow table
        Covariates by name, of any storage type; other columns are ignored. The index of an Arrow
        table is taken from its pandas metadata.
    outcome : str, optional
        Name of the outcome; None: the first.
    on_invalid : {"raise", "flag"}
        "raise": a value that violates the codebook raises an error. "flag": all other patients are
        predicted; for a patient out of scope, through such a value or one outside the training range, all
        arms are NaN.
    service : {"known", "average", "new"}
        As in `TreatmentSelector.predict`.
    n_jobs : int, optional
        Number of chunks of 8,192 patients predicted in parallel, as in joblib.
    progress : callable, optional
        Called with the number of patients done and the total.

    Returns
    -------
    DataFrame of shape (n_patients, n_arms)
        Probabilities, 0 to 1, as from `predict_by_arm`.

    Raises
    ------
    CohortError, InputError
        As `TreatmentSelector.predict_by_arm`; faults in values are those of the first chunk that has any.
    """
    needed = _needed(selector, _names(X), outcome)
    if not len(X):
        raise InputError("X has no rows; it needs at least one patient.")
    check_choice("on_invalid", on_invalid, ["raise", "flag"])
    options = {"outcome": outcome, "on_invalid": on_invalid, "service": _checked(service)}
    calls = ((selector, options, part) for part in _parts(X, needed))
    tables, done = [], 0
    for table in in_order(_by_arm, calls, n_jobs):
        tables.append(table)
        done += len(table)
        if progress is not None:
            progress(done, len(X))
    joined: pd.DataFrame = pd.concat(tables)
    if n := int(joined.index.duplicated().sum()):
        raise InputError(f"The index of X includes {count_of(n, 'duplicate')}. Each patient must occur once.")
    return joined


def _by_arm(selector: TreatmentSelector, options: dict[str, Any], part: pd.DataFrame) -> pd.DataFrame:
    return selector.predict_by_arm(part, **options)


def _names(X: Any) -> list[str]:
    """Return the names of the columns of a DataFrame or an Arrow table."""
    if isinstance(X, pd.DataFrame):
        return list(X.columns)
    if not all(hasattr(X, name) for name in ("to_pandas", "select", "slice")):
        raise InputError(f"X must be a DataFrame or an Arrow table; it is a {type(X).__name__}.")
    return list(X.column_names if hasattr(X, "column_names") else X.columns)  # the latter: polars


def _parts(X: Any, needed: list[str]) -> Iterator[pd.DataFrame]:
    if isinstance(X, pd.DataFrame):
        frame = X[needed]
        yield from (frame.iloc[start : start + CHUNK] for start in range(0, len(X), CHUNK))
        return
    index, covariates = _index(X), X.select(needed)
    for start in range(0, len(X), CHUNK):
        part = covariates.slice(start, CHUNK).to_pandas()
        yield part.set_axis(index[start : start + len(part)])


def _index(X: Any) -> "pd.Index[Any]":
    """Return the index in the pandas metadata of an Arrow table, or else a range."""
    noted = (getattr(X.schema, "pandas_metadata", None) or {}).get("index_columns")
    if not noted:
        return pd.RangeIndex(len(X))
    names = [
        name for name in noted if name in X.column_names
    ]  # a range index is stored as a mapping, not as a name
    index: pd.Index[Any] = X.select(names).to_pandas().index
    return index


def predict_dask(
    selector: TreatmentSelector,
    ddf: Any,
    outcome: str | None = None,
    *,
    on_invalid: str = "raise",
    service: str = "known",
) -> Any:
    """Return `selector.predict_by_arm` of a Dask DataFrame, partition by partition, as a Dask DataFrame.

    Nothing is shuffled: each partition is reduced to the needed columns and predicted on its worker, and
    the model is sent to each worker once. Needs ``pip install 'treatsel[dask]'``.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted or loaded.
    ddf : dask.dataframe.DataFrame
        Covariates by name. The column of patient ids, if the codebook names one and it exists, becomes the
        index; otherwise the index is kept, including repeated labels.
    outcome : str, optional
        Name of the outcome; None: the first.
    on_invalid : {"raise", "flag"}
        "raise": a value that violates the codebook raises an error. "flag": all other patients are
        predicted; for a patient out of scope, through such a value or one outside the training range, all
        arms are NaN.
    service : {"known", "average", "new"}
        As in `TreatmentSelector.predict`.

    Returns
    -------
    dask.dataframe.DataFrame of shape (n_patients, n_arms)
        Probabilities, 0 to 1; lazy. Duplicate ids are rejected only within a partition, since a check across
        partitions would shuffle all ids.

    Raises
    ------
    CohortError
        Immediately if a column is missing; on compute, as `TreatmentSelector.predict_by_arm`.
    """
    import dask

    check_choice("on_invalid", on_invalid, ["raise", "flag"])
    needed = _needed(selector, ddf.columns, outcome)
    ids = selector.codebook_.name("id")
    empty = ddf[needed]._meta
    index = empty.set_index(ids).index if ids in needed else empty.index
    meta = pd.DataFrame(np.zeros((0, len(selector.arms_))), index=index, columns=_arms(selector, outcome))
    model = dask.delayed(selector, traverse=False)
    changed = ids in needed
    return ddf[needed].map_partitions(
        _predict_part,
        model,
        {"outcome": outcome, "on_invalid": on_invalid, "service": _checked(service)},
        meta,
        meta=meta,
        clear_divisions=changed,
        enforce_metadata=True,
    )


def _predict_part(
    part: pd.DataFrame,
    selector: TreatmentSelector,
    options: dict[str, Any],
    empty: pd.DataFrame,
) -> pd.DataFrame:
    if not len(part):
        return empty
    # the index is not an id: where files were concatenated, it repeats
    found = selector.predict_by_arm(part.reset_index(drop=True), **options)
    return found if selector.codebook_.name("id") in part else found.set_axis(part.index)


def predict_spark(
    selector: TreatmentSelector,
    sdf: Any,
    outcome: str | None = None,
    *,
    keep: Iterable[str] = (),
    on_invalid: str = "raise",
    service: str = "known",
) -> Any:
    """Return probabilities by arm of a Spark DataFrame, batch by batch, as a Spark DataFrame.

    The model is broadcast, and `mapInPandas` predicts each partition on its executor; nothing is shuffled.
    Needs ``pip install 'treatsel[spark]'`` here and treatsel on the executors.

    Parameters
    ----------
    selector : TreatmentSelector
        Fitted or loaded.
    sdf : pyspark.sql.DataFrame
        Covariates by name.
    outcome : str, optional
        Name of the outcome; None: the first.
    keep : iterable of str
        Columns to keep, in addition to the patient ids (the codebook column with that role, if it exists).
    on_invalid : {"raise", "flag"}
        "raise": a value that violates the codebook raises an error. "flag": all other patients are
        predicted; for a patient out of scope, through such a value or one outside the training range, all
        arms are NaN.
    service : {"known", "average", "new"}
        As in `TreatmentSelector.predict`.

    Returns
    -------
    pyspark.sql.DataFrame
        Lazy: the kept columns, and one column of probabilities per arm, named after it. Duplicate ids are
        not checked, since rows have neither order nor index in Spark.

    Raises
    ------
    CohortError
        Immediately if a column is missing. Values that violate the codebook fail the Spark job, with the
        message of `TreatmentSelector.predict_by_arm`.
    InputError
        Immediately if a column to keep is missing, or has the name of an arm.
    """
    from pyspark.sql.types import DoubleType, StructField, StructType

    check_choice("on_invalid", on_invalid, ["raise", "flag"])
    needed = _needed(selector, sdf.columns, outcome)
    ids = selector.codebook_.name("id")
    kept = list(dict.fromkeys([*([ids] if ids in needed else []), *keep]))
    arms = [str(arm) for arm in selector.arms_]
    for name in kept:
        check_choice("A column to keep", name, sdf.columns)
        if name in arms:
            raise InputError(
                f"Column {name!r} cannot be kept, because an arm has the same name. Rename the column."
            )
    fields = [sdf.schema[name] for name in kept]
    fields += [StructField(arm, DoubleType(), nullable=False) for arm in arms]
    model = sdf.sparkSession.sparkContext.broadcast(selector)
    chosen = sdf.select(*dict.fromkeys([*needed, *kept]))
    options = {"outcome": outcome, "on_invalid": on_invalid, "service": _checked(service)}
    return chosen.mapInPandas(_batches(model, options, kept, ids, arms), StructType(fields))


def _batches(
    model: Any, options: dict[str, Any], kept: list[str], ids: str | None, arms: list[str]
) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Return the function that Spark applies to the batches of a partition."""

    def predict(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            if len(batch):
                rows = batch.reset_index(drop=True)
                covariates = rows.drop(columns=ids, errors="ignore") if ids else rows
                by_arm = model.value.predict_by_arm(covariates, **options)
                by_arm = by_arm.set_axis(arms, axis=1)
                yield pd.concat([rows[kept], by_arm], axis=1)

    return predict


def _needed(selector: TreatmentSelector, columns: Iterable[str], outcome: str | None) -> list[str]:
    """Return the needed columns: covariates, ids and sites if they exist; raise if a covariate is missing."""
    check_selector(selector)
    if outcome is not None:
        check_choice("outcome", outcome, selector.outcomes_)
    existing, book = list(columns), selector.codebook_
    alike = {own: name for name, own in look_alikes(existing, [*book.names("id"), *book.covariates]).items()}
    remedy = f"The model needs {listed(book.covariates)}; use null for unknown values."
    faults = [
        Fault(column=name, problem="is missing", remedy=remedy)
        for name in book.covariates
        if name not in existing and name not in alike
    ]
    if faults:
        raise CohortError("The patients cannot be predicted:", faults)
    site = selector.model_.site_column
    alike |= {own: name for name, own in look_alikes(existing, [site] if site else []).items()}
    names = [*book.names("id"), *book.covariates, *([site] if site else [])]
    return [named for name in names if (named := alike.get(name, name)) in existing]


def _checked(service: str) -> str:
    return str(check_choice("service", service, SERVICES))


def _arms(selector: TreatmentSelector, outcome: str | None) -> "pd.Index[Any]":
    """Return the columns of the by-arm table of an outcome."""
    arms: pd.Index[Any] = pd.Index(selector.models_[outcome or selector.outcomes_[0]].arms_)
    return arms
