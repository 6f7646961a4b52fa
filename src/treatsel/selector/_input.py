"""What users hand over - frames, records, vectors - in clean form, or an error that says what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_binary, check_mapping_keys, check_same_length, check_unique
from treatsel.codebook import Codebook, Field, guess_direction
from treatsel.errors import CodebookError, CohortError, Fault, InputError
from treatsel.serving import LARGEST


def frame_of(X: Any) -> pd.DataFrame:
    """Return a DataFrame of a frame, one record, or a list of records."""
    if hasattr(X, "to_pandas") and not isinstance(X, pd.DataFrame):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame):
        frame = X
    elif isinstance(X, Mapping):
        frame = pd.DataFrame([dict(X)], dtype="object")
    elif isinstance(X, Sequence) and not isinstance(X, str) and all(isinstance(r, Mapping) for r in X):
        keys = sorted({str(key) for record in X for key in record})
        for key in keys:
            if n := sum(key not in record for record in X):
                raise InputError(f"{n} records lack the key {key!r}. Give None where it is not known.")
        frame = pd.DataFrame([dict(record) for record in X], dtype="object")
    else:
        raise InputError(f"X must be a DataFrame, a record or a list of records, not {type(X).__name__}.")
    if not len(frame):
        raise InputError("X has no rows.")
    if n := sum(not isinstance(name, str) for name in frame.columns):
        raise InputError(f"X has {n} columns whose name is no text. Rename them: columns are found by name.")
    check_unique("The columns of X", frame.columns)
    check_unique("The patients (index) of X", frame.index)
    return frame


def outcome_table(y: Any, X: pd.DataFrame) -> pd.DataFrame:
    """Return outcomes as a table of 0, 1 and NaN with the patients of X."""
    if isinstance(y, pd.DataFrame):
        table = y
    elif np.ndim(y) != 1:
        raise InputError(
            f"y has {np.ndim(y)} dimensions; it must be one vector, or a DataFrame with a column per outcome."
        )
    else:
        name = y.name if isinstance(y, pd.Series) and y.name is not None else "outcome"
        table = pd.DataFrame({str(name): y if isinstance(y, pd.Series) else np.asarray(y)})
    check_same_length(X=X, y=table)
    if isinstance(y, pd.DataFrame | pd.Series) and not y.index.equals(X.index):
        raise InputError("X and y have different indices. Both need the same patients in the same order.")
    if not len(table.columns):
        raise InputError("y has no columns. Give one column per outcome.")
    check_unique("The columns of y", table.columns)
    return pd.DataFrame(
        {str(name): check_binary(f"Outcome {name!r}", table[name], allow_missing=True) for name in table},
        index=X.index,
    )


def development_codebook(
    codebook: Codebook | str | Path | None, X: pd.DataFrame, arm: str, groups: str | None
) -> Codebook:
    """Return the codebook of the covariates and the arm: the one given, or one drafted from X."""
    for role, name in (("arm", arm), ("groups", groups)):
        if name is not None and name not in X.columns:
            raise InputError(f"X has no column {name!r}, which {role} names. It has {list(X.columns)}.")
    if groups == arm:
        raise InputError(f"arm and groups both name the column {arm!r}. A site is not an arm.")
    covariates = X.drop(columns=[groups] if groups else [])
    if codebook is None:
        book = Codebook.infer(covariates, arm=arm, outcomes=[], ranges=False)
        _refuse_strangers(book, arm)
        return book
    if not isinstance(codebook, Codebook | str | Path):
        raise InputError(f"codebook must be a Codebook or a path, not a {type(codebook).__name__}.")
    book = codebook if isinstance(codebook, Codebook) else Codebook.read(codebook)
    if book.arm is None:
        book = Codebook((*book.fields, Field(name=arm, role="arm")), book.missing_values)
    elif book.arm != arm:
        raise CodebookError(f"The codebook's arm column is {book.arm!r}, but the selector's is {arm!r}.")
    if groups in book.covariates:
        raise CodebookError(
            f"The codebook makes {groups!r} a covariate, but groups names it. It cannot be both."
        )
    if not book.covariates:
        raise CodebookError("The codebook gives no column the role covariate. Name at least one.")
    if unknown := book.unknown(covariates):
        raise CohortError("X does not fit the codebook:", unknown)
    return book


def check_no_outcome(book: Codebook, outcomes: pd.DataFrame) -> None:
    """Raise if an outcome is offered as a covariate, a leak."""
    if leaks := [name for name in outcomes.columns if name in book.covariates or name == book.arm]:
        remedy = "A covariate must be known before treatment: leave the column out of X."
        faults = [Fault(column=name, problem="is an outcome in y", remedy=remedy) for name in leaks]
        raise CohortError("X holds what is to be predicted:", faults)


def by_id(frame: pd.DataFrame, book: Codebook) -> pd.DataFrame:
    """Return the frame with its column of patient ids, if it has one, as index."""
    name = book.name("id")
    if name is None or name not in frame.columns:
        return frame
    check_unique(f"The patients (column {name!r}) of X", frame[name])
    return frame.set_index(name)


def _refuse_strangers(book: Codebook, arm: str) -> None:
    """Refuse drafted columns that are no covariates: nothing is dropped in silence."""
    reasons = {
        "session_score": "looks as if it was measured after treatment began",
        "date": "holds dates",
        "id": "looks like a patient id",
        "site": "looks like a site",
        None: "holds too many different texts to be a category",
    }
    remedy = "Leave it out of X, name it as groups, or pass a codebook that gives it the role covariate."
    faults = [
        Fault(column=field.name, problem=reasons[field.role], remedy=remedy)
        for field in book.fields
        if field.role in reasons
    ]
    if faults:
        raise CohortError("X holds columns that may not be covariates:", faults)
    if not book.covariates:
        raise InputError(f"X has no covariates beside the arm column {arm!r}.")


def clean_covariates(
    X: pd.DataFrame, book: Codebook, ranges: pd.DataFrame, on_invalid: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return clean covariates, and one row (patient, code, column) per warning.

    A column that is not there, or does not hold what it should, raises; with ``on_invalid="flag"`` a
    value that breaks the codebook is flagged instead, and a value of the wrong type or an infinite one
    counts as missing.
    """
    clean, faults, warnings = {}, [], []
    for name in book.covariates:
        if name not in X.columns:
            remedy = f"The model needs {list(book.covariates)}; give None where a value is not known."
            faults.append(Fault(column=name, problem="is missing", remedy=remedy))
            continue
        values, violations = book[name].inspect(X[name], book.missing_values)
        if on_invalid == "raise":
            faults += book[name].parse(X[name], book.missing_values)[1]
        masks = {violation.code: violation.mask for violation in violations}
        if name in ranges.index and (enormous := values.abs() > LARGEST).any():
            masks["infinite"] = masks.get("infinite", False) | enormous
            if on_invalid == "raise" and (n := int(np.isfinite(values[enormous]).sum())):
                remedy = f"Numbers beyond {LARGEST:g} cannot be computed with; correct them."
                faults.append(
                    Fault(column=name, problem=f"holds {n} values that are too large", remedy=remedy)
                )
            values = values.mask(enormous)
        unusable = pd.Series(False, index=X.index)
        for code in ("wrong_type", "infinite"):
            unusable |= masks.get(code, False)
        masks["missing_covariate"] = values.isna() & ~unusable
        if name in ranges.index:
            outside = (values < ranges.loc[name, "lower"]) | (values > ranges.loc[name, "upper"])
            masks["outside_development_range"] = outside
        clean[name] = values
        warnings += [_flag(X.index, mask, code, name) for code, mask in masks.items() if mask.any()]
    if faults:
        raise CohortError("The patients cannot be predicted:", faults)
    empty = pd.DataFrame({"patient": [], "code": [], "column": []}, dtype="object")
    found = pd.concat([empty, *warnings], ignore_index=True) if warnings else empty
    return pd.DataFrame(clean, index=X.index), found


def _flag(index: pd.Index, mask: pd.Series, code: str, column: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"patient": index[mask.to_numpy(bool)].astype(object), "code": code, "column": column}
    )


def directions(given: Any, outcomes: Sequence[str], book: Codebook) -> dict[str, bool | None]:
    """Return whether each outcome is good: as given, as in the codebook, or None for not stated.

    The first outcome counts as good where nothing is stated, unless its name says otherwise.
    """
    if isinstance(given, Mapping):
        check_mapping_keys("event_is_good", given, outcomes)
    stated: dict[str, bool | None] = {}
    for name in outcomes:
        here = given.get(name) if isinstance(given, Mapping) else given
        stated[name] = book[name].event_is_good if here is None and name in book else here
    first = outcomes[0]
    if stated[first] is None and guess_direction(first) is False:
        raise InputError(
            f"The main outcome {first!r} sounds bad, and nobody said whether 1 is good. State "
            f"event_is_good={{{first!r}: False}} (or True), or event_is_good in the codebook."
        )
    stated[first] = True if stated[first] is None else stated[first]
    return stated


def completed_codebook(
    book: Codebook, clean: pd.DataFrame, directions: Mapping[str, bool | None]
) -> Codebook:
    """Return the codebook with the categories that were learned and an entry for each outcome."""
    fields = []
    for field in book.fields:
        if field.role == "covariate" and field.type == "string" and field.enum is None:
            fields.append(replace(field, enum=tuple(sorted(clean[field.name].dropna().unique())) or None))
        elif field.name not in directions:
            fields.append(field)
    for name, good in directions.items():
        fields.append(Field(name=name, type="integer", role="outcome", event_is_good=good))
    return Codebook(tuple(fields), book.missing_values)
