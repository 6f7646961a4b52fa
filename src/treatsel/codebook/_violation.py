"""Patients whose value breaks the codebook in one way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Violation:
    """One kind of violation of the codebook: a stable code, and a mask of the patients concerned."""

    code: str
    mask: "pd.Series"

    @property
    def count(self) -> int:
        """Number of patients."""
        return int(self.mask.sum())

    def rows_of(self, labels: "pd.Index[Any]") -> list[Any]:
        """Return the ids of the patients, of all patients' ids in the order of the rows."""
        found: list[Any] = labels[self.mask.to_numpy(dtype=bool)].tolist()
        return found
