"""Exceptions and warnings of the library.

All exceptions derive from `TreatselError`; those for which scikit-learn would raise `ValueError` derive
from it as well. A message states what was found, what is allowed and what to do; it contains column names
and counts, never a patient's value.
"""

import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

# Packages between a user's call and a warning: treatsel itself, and those that call it for the user.
_PASSED_THROUGH = frozenset({"treatsel", "sklearn", "joblib", "threadpoolctl", "contextlib"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A single problem of an input.

    `column`: name of the column, None if no single one is concerned; `problem`: what was found, with counts;
    `remedy`: what is allowed and what to do; `n_rows`: number of rows concerned, None if the problem does not
    concern single rows. None of them contains a patient's value.

    `rows` holds the ids (labels of the index) of the rows concerned. They identify patients: they are in no
    message, no repr and not in `to_dict`.
    """

    column: str | None
    problem: str
    remedy: str
    n_rows: int | None = None
    rows: tuple[Any, ...] = field(default=(), repr=False, compare=False)

    def __str__(self) -> str:
        if self.column is None:
            return f"{self.problem} {self.remedy}".strip()
        name = self.column if len(self.column) <= _LONGEST else f"{self.column[: _LONGEST - 3]}..."
        return f"Column {name!r} {self.problem}. {self.remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Return column, problem, remedy and n_rows, for JSON; without the ids of the rows."""
        return {name: getattr(self, name) for name in ("column", "problem", "remedy", "n_rows")}


# "Column 'age' holds 2 values out of range. Correct them.": column, problem, remedy
_SENTENCES = re.compile(
    r"(?:Column '(?P<column>[^']+)' )?(?P<problem>.+?)(?:[.;] (?P<remedy>[^ ].*))?", re.DOTALL
)

_LONGEST = 100  # characters of a name in a message
_MOST_LISTED = 50  # faults in a message: a table may have thousands of columns


class TreatselError(Exception):
    """Base class of all errors that treatsel raises deliberately.

    Attributes
    ----------
    faults : tuple of Fault
        The problems as data: column, problem, remedy and number of rows of each. An error about something
        else than single columns has one fault with its message.
    """

    def __init__(self, message: str = "", faults: Sequence[Fault] = ()) -> None:
        self._faults = tuple(faults)
        lines = [message, *(f"- {fault}" for fault in self._faults[:_MOST_LISTED])]
        if (more := len(self._faults) - _MOST_LISTED) > 0:
            lines.append(f"- and {more:,} more (attribute faults).")
        super().__init__("\n".join(lines))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The problems as data."""
        if self._faults:
            return self._faults
        found = _SENTENCES.fullmatch(str(self))
        parts = {"problem": str(self), "column": None} if found is None else found.groupdict()
        remedy = parts.get("remedy") or ""
        return (Fault(column=parts["column"], problem=str(parts["problem"]).rstrip("."), remedy=remedy),)


class InputError(TreatselError, ValueError):
    """An invalid vector, table or option passed to a function."""


class CodebookError(TreatselError, ValueError):
    """A codebook that cannot be read or is inconsistent."""


class CohortError(TreatselError, ValueError):
    """A patient table that does not fit its codebook or its model; `faults` lists all of them by column."""


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


def warn(message: str, category: type[TreatselWarning] = TreatselWarning) -> None:
    """Issue a warning that points at the line of the user's code that called the library."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_THROUGH:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
