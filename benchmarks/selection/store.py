"""Raw results: one CSV row per process, n, seed and method; stored runs are not repeated."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

KEY = ("process", "n", "seed", "method")


class Store:
    """A CSV file that grows row by row, so that an interrupted run can be continued.

    Parameters
    ----------
    path : Path
        Created when the first row is added.
    columns : list of str
        Scores, in addition to the key.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path = path
        self.columns = [*KEY, *columns]
        self._known = set() if not path.exists() else set(self._keys(self.frame()))

    @staticmethod
    def _keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        return list(frame[list(KEY)].itertuples(index=False, name=None))

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        return key in self._known

    def frame(self) -> pd.DataFrame:
        """Return all rows; of rows with the same key, the last."""
        if not self.path.exists():
            return pd.DataFrame(columns=self.columns)
        # "null" is the name of a process, not a missing value.
        rows = pd.read_csv(self.path, keep_default_na=False, na_values=["", "nan"])
        return rows.drop_duplicates(list(KEY), keep="last").reset_index(drop=True)

    def add(self, key: tuple[Any, ...], scores: Mapping[str, Any]) -> None:
        """Append one row to the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        row = dict(zip(KEY, key, strict=True)) | {
            name: f"{value:.6g}" if isinstance(value, float) else value for name, value in scores.items()
        }
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        self._known.add(key)
