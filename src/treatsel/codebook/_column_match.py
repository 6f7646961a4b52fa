"""Names of a table's columns compared with those of a codebook: unknown ones, look-alikes, lost headers."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from treatsel._checks import MOST_NAMES, count_of, did_you_mean, has_lost_header
from treatsel.errors import DataQualityWarning, Fault, warn

if TYPE_CHECKING:
    import pandas as pd


def hides_names(known: Iterable[str], frame: "pd.DataFrame") -> bool:
    """Whether the unknown names of columns may be the values of a patient, as the table has no header."""
    names = set(known)
    lower = {name.lower() for name in names}  # a hint may follow from GENDER for gender
    if not any(str(name).lower() in lower for name in frame.columns):
        return True
    return has_lost_header(frame.loc[:, [name not in names for name in frame.columns]])


def strangers(known: Iterable[str], frame: "pd.DataFrame") -> list[Fault]:
    """Return a fault for each column without a known name; a single one if the header is lost."""
    names = set(known)
    if hides_names(names, frame):
        problem = f"No name of a column is recognized ({count_of(len(frame.columns), 'column')})."
        remedy = "Name the columns as in the codebook; the first row of a file must hold their names."
        return [Fault(column=None, problem=problem, remedy=remedy)]
    absent = names - set(map(str, frame.columns))
    remedy = "Add it to the codebook (without a role, if it is not to be used), or drop it."
    return [
        Fault(
            column=str(name),
            problem="is not in the codebook",
            remedy=remedy + (did_you_mean(str(name), absent) if i < MOST_NAMES else ""),
        )
        for i, name in enumerate(name for name in frame.columns if name not in names)
    ]


def say_normalized(found: Mapping[str, int]) -> None:
    """Warn of texts that were read in their normal form: a number of them per place where they were found."""
    held = [what for what, n in found.items() if n]
    if more := len(held[MOST_NAMES:]):
        held = [*held[:MOST_NAMES], f"and {more:,} more"]
    if held:
        warn(
            "normalized_text: texts were read in their normal form (composed signs, plain blanks, none at "
            f"the ends): {', '.join(held)}. Correct them at the source.",
            DataQualityWarning,
        )
