"""Every exception and warning that the library raises on purpose.

All derive from `TreatselError`; those that a scikit-learn user would catch as `ValueError` are
that too. A message says what was found, what is allowed and what to do; it names columns and
counts, never a patient's value.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class TreatselError(Exception):
    """Base of all errors that treatsel raises on purpose."""


class InputError(TreatselError, ValueError):
    """A vector, a table or an option that a function cannot work with."""


class CodebookError(TreatselError, ValueError):
    """A codebook that cannot be read, or that contradicts itself."""


class ArtifactError(TreatselError):
    """A model file that is damaged, foreign, too large, too new, or not what it says."""


class UnsupportedModelError(TreatselError, TypeError):
    """A model of a kind that this operation cannot handle exactly."""


class AdditivityError(TreatselError, ArithmeticError):
    """An explanation that does not add up to the model's own prediction; it is never shown."""


class TreatselWarning(UserWarning):
    """The result stands, but on shaky ground."""


class DataQualityWarning(TreatselWarning):
    """What a fitted selector found shaky about its development cohort; all of it in one warning."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with a table.

    `column`: its name; `problem`: what was found, with counts; `remedy`: what is allowed and what
    to do. None of them may hold a patient's value.
    """

    column: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"Column {self.column!r} {self.problem}. {self.remedy}"


class CohortError(TreatselError, ValueError):
    """A patient table that does not fit its codebook or its model; lists every fault at once.

    Attributes
    ----------
    faults : tuple of Fault
        All that was found, in the order of the columns.
    """

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([message, *(f"- {fault}" for fault in self.faults)]))
