"""Patients whose value breaks the codebook in one way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
