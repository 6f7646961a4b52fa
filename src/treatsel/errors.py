"""Exceptions and warnings of the library.

All exceptions derive from `TreatselError`; those for which scikit-learn would raise `ValueError` derive
from it as well. A message states what was found, what is allowed and what to do; it contains column names
and counts, never a patient's value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST = 100  # characters of a name in a message
_MOST_LISTED = 50  # faults in a message: a table may have thousands of columns


class TreatselError(Exception):
    """Base class of all errors that treatsel raises deliberately."""


class InputError(TreatselError, ValueError):
    """An invalid vector, table or option passed to a function."""


class CodebookError(TreatselError, ValueError):
    """A codebook that cannot be read or is inconsistent."""


class ArtifactError(TreatselError):
    """A file that is not a valid model file: damaged, of another type, too large, too new, inconsistent."""


class UnsupportedModelError(TreatselError, TypeError):
    """A model type that this operation cannot handle exactly."""


class AdditivityError(TreatselError, ArithmeticError):
    """An explanation that does not add up to the model's prediction; it is not returned."""


class TreatselWarning(UserWarning):
    """A result that is valid but unreliable, or rests on an assumption."""


class DataQualityWarning(TreatselWarning):
    """Problems that the data checks of a selector found in its development cohort."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A single problem in a table.

    `column`: name of the column; `problem`: what was found, with counts; `remedy`: what is allowed and what
    to do. None of them contains a patient's value.
    """

    column: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        name = self.column if len(self.column) <= _LONGEST else f"{self.column[: _LONGEST - 3]}..."
        return f"Column {name!r} {self.problem}. {self.remedy}"


class CohortError(TreatselError, ValueError):
    """A patient table that does not fit its codebook or its model; lists all faults.

    Attributes
    ----------
    faults : tuple of Fault
        All faults, in the order of the columns; the message lists at most 50 of them.
    """

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        lines = [message, *(f"- {fault}" for fault in self.faults[:_MOST_LISTED])]
        if (more := len(self.faults) - _MOST_LISTED) > 0:
            lines.append(f"- and {more:,} more (attribute faults).")
        super().__init__("\n".join(lines))
