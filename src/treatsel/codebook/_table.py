"""Parsing of the covariates of a table: clean values, and a warning for each questionable value."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import as_pandas, check_unique, count_of, listed, look_alikes, shortened
from treatsel.codebook._codebook import Codebook
from treatsel.codebook._safety import SAFETY_CODES, safety_items
from treatsel.codebook._values import LARGEST, OPAQUE, plain_record, too_large
from treatsel.errors import CohortError, Fault, InputError

if TYPE_CHECKING:
    import pandas as pd

NO_LEVELS: Mapping[str, Collection[str]] = MappingProxyType({})


LARGEST_ID = 10**256  # pandas cannot make an index of numbers above 1e308; records have the same limit


def frame_of(X: Any) -> "pd.DataFrame":
    """Return a frame, one record, or a list of records as a DataFrame."""
    import pandas as pd

    X = as_pandas(X)
    if isinstance(X, pd.DataFrame):
        frame = X
    elif isinstance(X, Mapping):
        frame = pd.DataFrame([plain_record(X)], dtype="object")
    elif isinstance(X, Sequence) and not isinstance(X, str) and all(isinstance(r, Mapping) for r in X):
        records = [plain_record(record) for record in X]
        for key in sorted({key for record in records for key in record}):
            if n := sum(key not in record for record in records):
                verb = "lacks" if n == 1 else "lack"
                raise InputError(
                    f"{count_of(n, 'record')} {verb} the key {shortened(key)!r}. Give None if the value is "
                    "not known."
                )
        frame = pd.DataFrame(records, dtype="object")
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
    from treatsel.codebook._convert import builtin_values

    name = book.name("id")
    if name is None:
        return frame
    if found := look_alikes(frame.columns, [name]):
        frame = frame.rename(columns=found)
    if name not in frame.columns:
        return frame
    column = frame[name]
    ids = builtin_values(column)
    if n := int(ids.map(_is_no_id).sum()) if ids.dtype == object else 0:
        raise InputError(
            f"Column {name!r} has {count_of(n, 'id')} of an unknown type, or of more than 256 digits. Use "
            "text or numbers."
        )
    frame = frame.assign(**{name: ids}) if ids is not column else frame
    check_unique(f"The patients (column {name!r}) of X", frame[name])
    return frame.set_index(name)


def _is_no_id(value: Any) -> bool:
    return value is OPAQUE or (type(value) is int and abs(value) >= LARGEST_ID)


def clean_covariates(
    X: "pd.DataFrame",
    book: Codebook,
    ranges: "pd.DataFrame",
    on_invalid: str,
    known_levels: Mapping[str, Collection[str]] = NO_LEVELS,
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return clean covariates, and one row (patient, code, column) per warning.

    A missing column raises an error, as does a value that violates the codebook; with ``on_invalid="flag"``
    such a value is flagged instead, and a value of the wrong type or an infinite one is set to missing. A
    category that the codebook allows, but that is not among the `known_levels` of the model, is flagged. The
    warnings of safety items come first.
    """
    import pandas as pd

    clean: dict[str, pd.Series] = {}
    renamed = look_alikes(X.columns, [*book.covariates, *book.names("safety_item")])
    X = X.rename(columns=renamed) if renamed else X
    warnings, faults = _safety_warnings(X, book, on_invalid, renamed.values())
    for name in book.covariates:
        if name not in X.columns:
            remedy = f"The model needs {listed(book.covariates)}; give None where a value is not known."
            faults.append(Fault(column=name, problem="is missing", remedy=remedy))
            continue
        values, violations = book[name].parse(X[name], book.missing_values)
        if on_invalid == "raise":
            faults += [book[name].fault(each.code, each.count, each.rows_of(X.index)) for each in violations]
        masks = {violation.code: violation.mask for violation in violations}
        read = book[name].normalized(X[name], values, book.missing_values)
        masks[read.code] = read.mask | (name in renamed.values())
        if name in ranges.index and (enormous := values.abs() > LARGEST).any():
            masks["infinite"] = masks.get("infinite", False) | enormous
            finite = X.index[(enormous & np.isfinite(values.astype("float64"))).to_numpy(dtype=bool)]
            if on_invalid == "raise" and len(finite):
                faults.append(too_large(name, len(finite), finite.tolist()))
            values = values.mask(enormous)
        unusable = pd.Series(False, index=X.index)
        for code in ("wrong_type", "infinite"):
            unusable |= masks.get(code, False)
        masks["missing_covariate"] = values.isna() & ~unusable
        if name in ranges.index:
            outside = (values < ranges.loc[name, "lower"]) | (values > ranges.loc[name, "upper"])
            masks["outside_training_range"] = outside
        if name in known_levels:
            unseen = values.notna() & ~values.isin(list(known_levels[name]))
            masks["unseen_category"] = masks.get("unseen_category", False) | unseen
        clean[name] = values
        warnings += [_flag(X.index, mask, code, name) for code, mask in masks.items() if mask.any()]
    if faults:
        raise CohortError("The patients cannot be predicted:", faults)
    empty = pd.DataFrame({"patient": [], "code": [], "column": []}, dtype="object")
    found = pd.concat([empty, *warnings], ignore_index=True) if warnings else empty
    return pd.DataFrame(clean, index=X.index), found


def _safety_warnings(
    X: "pd.DataFrame", book: Codebook, on_invalid: str, renamed: Collection[str]
) -> "tuple[list[pd.DataFrame], list[Fault]]":
    """Return the warnings of safety items, the flagged ones first, and the faults in them, if they count."""
    import pandas as pd

    everybody = pd.Series(True, index=X.index)
    found: list[tuple[str, str, pd.Series]] = []
    faults: list[Fault] = []
    for item in safety_items(book):
        masks, broken = item.of_table(X)
        faults += broken if on_invalid == "raise" else []
        found += [(code, item.field.name, mask) for code, mask in masks.items()]
        if item.field.name in renamed:
            found.append(("normalized_text", item.field.name, everybody))
    order = [*SAFETY_CODES, "normalized_text"]
    found.sort(key=lambda each: order.index(each[0]))
    return [_flag(X.index, mask, code, name) for code, name, mask in found if mask.any()], faults


def _flag(index: "pd.Index", mask: "pd.Series", code: str, column: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {"patient": index[mask.to_numpy(bool)].astype(object), "code": code, "column": column}
    )
