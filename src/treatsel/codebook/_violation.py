"""Patients whose value breaks the codebook in one way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


_PROBLEMS = {  # a value of the wrong type is described by what is allowed
    "infinite": "that are infinite",
    "out_of_range": "out of range",
    "not_integer": "that are not whole numbers",
    "not_binary": "that are neither 0 nor 1",
    "unseen_category": "that the codebook does not list",
    "missing_required": "missing, but the column is required",
    "duplicate": "that are duplicates",
}
_SINGULAR = {
    "not_integer": "that is not a whole number",
    "not_binary": "that is neither 0 nor 1",
    "duplicate": "that is a duplicate",
}


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


def problem_of(code: str, count: int, allowed: str) -> str:
    """Describe `count` values with one kind of violation."""
    problem, noun = _PROBLEMS.get(code, f"that are not {allowed}"), "values"
    if count == 1:
        problem, noun = _SINGULAR.get(code, problem.replace("that are ", "that is ", 1)), "value"
    return f"holds {count} {noun} {problem}"
