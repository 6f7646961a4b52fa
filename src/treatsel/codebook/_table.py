"""Parsing of the covariates of a table: clean values, and a warning for each questionable value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import as_pandas, check_unique, count_of, listed, shortened
from treatsel.codebook._codebook import Codebook
from treatsel.codebook._values import LARGEST, too_large
from treatsel.errors import CohortError, Fault, InputError

if TYPE_CHECKING:
    import pandas as pd


def frame_of(X: Any) -> "pd.DataFrame":
    """Return a frame, one record, or a list of records as a DataFrame."""
    import pandas as pd

    X = as_pandas(X)
    if isinstance(X, pd.DataFrame):
        frame = X
    elif isinstance(X, Mapping):
        frame = pd.DataFrame([dict(X)], dtype="object")
    elif isinstance(X, Sequence) and not isinstance(X, str) and all(isinstance(r, Mapping) for r in X):
        keys = sorted({str(key) for record in X for key in record})
        for key in keys:
            if n := sum(key not in record for record in X):
                verb = "lacks" if n == 1 else "lack"
                raise InputError(
                    f"{count_of(n, 'record')} {verb} the key {shortened(key)!r}. Give None if the value is "
                    "not known."
                )
        frame = pd.DataFrame([dict(record) for record in X], dtype="object")
    else:
        raise InputError(f"X must be a DataFrame, a record or a list of records, not {type(X).__name__}.")
    if not len(frame):
        raise InputError("X has no rows.")
    if n := sum(not isinstance(name, str) for name in frame.columns):
        raise InputError(
            f"X has {count_of(n, 'column')} with a name that is not text. Rename them: columns are "
            "found by name."
        )
    check_unique("The columns of X", frame.columns)
    check_unique("The patients (index) of X", frame.index)
    return frame


def by_id(frame: "pd.DataFrame", book: Codebook) -> "pd.DataFrame":
    """Return the frame with its column of patient ids, if there is one, as index."""
    name = book.name("id")
    if name is None or name not in frame.columns:
        return frame
    check_unique(f"The patients (column {name!r}) of X", frame[name])
    return frame.set_index(name)


def clean_covariates(
    X: "pd.DataFrame", book: Codebook, ranges: "pd.DataFrame", on_invalid: str
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return clean covariates, and one row (patient, code, column) per warning.

    A missing column raises an error, as does a value that violates the codebook; with ``on_invalid="flag"``
    such a value is flagged instead, and a value of the wrong type or an infinite one is set to missing.
    """
    import pandas as pd

    clean, faults, warnings = {}, [], []
    for name in book.covariates:
        if name not in X.columns:
            remedy = f"The model needs {listed(book.covariates)}; give None where a value is not known."
            faults.append(Fault(column=name, problem="is missing", remedy=remedy))
            continue
        values, violations = book[name].parse(X[name], book.missing_values)
        if on_invalid == "raise":
            faults += [book[name].fault(violation.code, violation.count) for violation in violations]
        masks = {violation.code: violation.mask for violation in violations}
        if name in ranges.index and (enormous := values.abs() > LARGEST).any():
            masks["infinite"] = masks.get("infinite", False) | enormous
            if on_invalid == "raise" and (n := int(np.isfinite(values[enormous]).sum())):
                faults.append(too_large(name, n))
            values = values.mask(enormous)
        unusable = pd.Series(False, index=X.index)
        for code in ("wrong_type", "infinite"):
            unusable |= masks.get(code, False)
        masks["missing_covariate"] = values.isna() & ~unusable
        if name in ranges.index:
            outside = (values < ranges.loc[name, "lower"]) | (values > ranges.loc[name, "upper"])
            masks["outside_training_range"] = outside
        clean[name] = values
        warnings += [_flag(X.index, mask, code, name) for code, mask in masks.items() if mask.any()]
    if faults:
        raise CohortError("The patients cannot be predicted:", faults)
    empty = pd.DataFrame({"patient": [], "code": [], "column": []}, dtype="object")
    found = pd.concat([empty, *warnings], ignore_index=True) if warnings else empty
    return pd.DataFrame(clean, index=X.index), found


def _flag(index: "pd.Index", mask: "pd.Series", code: str, column: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {"patient": index[mask.to_numpy(bool)].astype(object), "code": code, "column": column}
    )
