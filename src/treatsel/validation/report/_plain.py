"""Convert tables to plain values for JSON and back; NaN and infinity become None."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def plain_number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def plain_value(value: Any) -> Any:
    """Return a value without NumPy types and NaN."""
    if isinstance(value, float | np.floating):
        return plain_number(value)
    if isinstance(value, tuple | list | np.ndarray):
        return [plain_value(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def columns_of(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of a table as lists."""
    return {str(name): [plain_value(value) for value in table[name]] for name in table.columns}


def frame_of(columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Return a table from its columns; in numeric columns None becomes NaN."""
    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = len(known) == len(values) and all(isinstance(value, int) for value in known)
        return np.array(
            [np.nan if value is None else value for value in values], dtype=int if whole else float
        )
    return pd.Series(values, dtype=object)


def number_of(value: Any) -> float:
    return float("nan") if value is None else float(value)
