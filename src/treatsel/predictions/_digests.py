"""Digests of tables and records, which identify the input of a prediction."""

import hashlib
import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii  # what json.dumps applies to a text, in a third of the time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def digest(frame: "pd.DataFrame") -> str:
    """Return the SHA-256 of a table's names and values, the same for any column order."""
    import pandas as pd

    sha = hashlib.sha256()
    for name in sorted(frame.columns, key=str):
        column = frame[name]
        sha.update(json.dumps(str(name)).encode())
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
            sha.update(np.where(np.isnan(values), np.nan, values).tobytes())
        else:
            texts = [None if missing else str(v) for v, missing in zip(column, column.isna(), strict=True)]
            sha.update(json.dumps(texts).encode())
    return sha.hexdigest()


def digest_one(values: Mapping[str, float | str | None]) -> str:
    """Return the `digest` of a table of one patient, given as floats, strings and None by covariate."""
    parts = []
    for name, written in _names_of(tuple(values)):
        value = values[name]
        if isinstance(value, float):
            value_bytes = _PACK(value + 0.0 if value == value else np.nan)
        else:
            value_bytes = b"[null]" if value is None else f"[{encode_basestring_ascii(value)}]".encode()
        parts += [written, value_bytes]
    return hashlib.sha256(b"".join(parts)).hexdigest()


_PACK = struct.Struct("=d").pack


@lru_cache(maxsize=64)  # sets of covariates of different models
def _names_of(names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Return the sorted names, each with its JSON encoding."""
    return [(name, json.dumps(name).encode()) for name in sorted(names)]


def fingerprint(frame: "pd.DataFrame") -> str:
    """Return the SHA-256 of a whole table, independent of the order of its rows and columns.

    It shows whether two tables are the same. Whoever knows all rows but one can test guesses of that row.
    """
    import pandas as pd

    rows = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False)
    return hashlib.sha256(np.sort(rows.to_numpy()).tobytes()).hexdigest()
