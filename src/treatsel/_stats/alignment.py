"""Matching of patients between tables and vectors by their ids, which are compared as text."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import as_text, check_unique, count_of
from treatsel.errors import InputError


def ids_of(index: "pd.Index[Any]") -> "pd.Index[Any]":
    """Return the labels of an index as text, so that 1 is "1" and 1.0 as well."""
    if pd.api.types.is_string_dtype(index.dtype) and not index.hasnans:
        texts: pd.Index[Any] = pd.Index(index.to_numpy(dtype=object), dtype=object)
        return texts
    return pd.Index([as_text(label) for label in index.to_numpy(dtype=object)], dtype=object)


def check_same_order(**vectors: Any) -> None:
    """Raise if two vectors or tables hold the same patients in another order, or other patients.

    A default index (0, 1, ...) names no patients: such a vector is taken in its order, unless it holds the
    labels of another one in another order.
    """
    indexed = [(name, v.index) for name, v in vectors.items() if isinstance(v, pd.Series | pd.DataFrame)]
    for number, (name, index) in enumerate(indexed):
        for first, reference in indexed[:number]:
            _check_pair(first, reference, name, index)


def check_order_of(X: pd.DataFrame, by_id: pd.DataFrame, **vectors: Any) -> None:
    """Raise, as `check_same_order`, if vectors are not in the order of a table whose ids may be in a column.

    `by_id` is the table with these ids as its index. A vector is compared with the index that has its labels.
    """
    for name, vector in vectors.items():
        if isinstance(vector, pd.Series | pd.DataFrame):
            labels = ids_of(vector.index)
            own = [table for table in (by_id, X) if labels.isin(ids_of(table.index)).all()]
            check_same_order(X=own[0] if own else by_id, **{name: vector})


def _check_pair(first: str, reference: "pd.Index[Any]", name: str, index: "pd.Index[Any]") -> None:
    if len(index) != len(reference) or index.equals(reference):
        return
    ours, theirs = ids_of(reference), ids_of(index)
    if ours.equals(theirs):
        return
    are_rows = ours.is_unique and theirs.is_unique
    if not are_rows and not ours.sort_values().equals(theirs.sort_values()):
        return
    n = int((~theirs.isin(ours)).sum())
    if not n:
        how = (
            f"for example {name}.loc[{first}.index]"
            if are_rows
            else "by a column that is different in each row"
        )
        raise InputError(
            f"{name} holds the same patients as {first} in another order. Align them first, {how}."
        )
    if not (_is_default(index) or _is_default(reference)):
        raise InputError(
            f"{name} holds {count_of(n, 'patient')} that {first} does not: their indices differ. Both "
            "need the same patients in the same order; remove the index of one of them if the order is "
            "the same."
        )


def aligned(name: str, table: Any, patients: "pd.Index[Any]") -> Any:
    """Return the rows of `table` (DataFrame or Series) for `patients`, in their order and with their index.

    Raises
    ------
    InputError
        If a patient has no row, or ids are repeated.
    """
    check_unique(f"The patients (index) of {name}", table.index)
    if table.index.equals(patients):
        return table
    found = ids_of(table.index)
    check_unique(f"The patients (index) of {name}, compared as text,", found)
    positions = found.get_indexer(ids_of(patients))
    if n := int((positions < 0).sum()):
        raise InputError(
            f"{name} lacks {n:,} of {count_of(len(patients), 'patient')}. Its index must hold their ids."
        )
    return table.iloc[positions].set_axis(patients, axis=0)


def _is_default(index: "pd.Index[Any]") -> bool:
    """Whether an index counts the rows from 0."""
    if isinstance(index, pd.RangeIndex):
        return index.start == 0 and index.step == 1
    return bool(
        pd.api.types.is_integer_dtype(index.dtype)
        and not index.hasnans
        and np.array_equal(index.to_numpy(dtype=np.int64), np.arange(len(index)))
    )
