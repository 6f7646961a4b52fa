"""Sites and therapists of a table of patients, by the roles of its codebook."""

from typing import Any

import pandas as pd

from treatsel._checks import as_text, count_of, normal_text
from treatsel.codebook import Codebook
from treatsel.errors import DataQualityWarning, warn


def normal_groups(column: pd.Series) -> pd.Series:
    """Return sites or therapists as texts; names that look alike, and 3 and "3", are the same."""
    plain = column.astype("object").map(as_text, na_action="ignore")
    found = plain.map(normal_text, na_action="ignore")
    if n := int((found.notna() & (found != plain)).sum()):
        warn(
            f"normalized_text: column {column.name!r} holds {count_of(n, 'text')} that were read in their "
            "normal form (composed signs, plain blanks, none at the ends). Correct them at the source.",
            DataQualityWarning,
        )
    return found


def site_in(codebook: Any, frame: pd.DataFrame) -> str | None:
    """Return the site column that a given codebook names; None, with a warning, if the table lacks it."""
    site = codebook.name("site") if isinstance(codebook, Codebook) else None
    if site is not None and site not in frame.columns:
        warn(
            f"The codebook names the site column {site!r}, which X does not have: sites are ignored, in the "
            "model and in its cross-validation. Add the column, or fit to a Cohort, which has it."
        )
        return None
    return site


def therapists_in(
    codebook: Any, frame: pd.DataFrame, groups: str | None, *, is_cohort: bool
) -> pd.Series | None:
    """Return the therapists of a codebook's column; None, for a table with a warning, if it lacks the column.

    A cohort may lack the column that its codebook names: nothing was dropped on the way from it to the fit.
    """
    name = codebook.name("therapist") if isinstance(codebook, Codebook) else None
    if name is None or name == groups:
        return None
    if name not in frame:
        if not is_cohort:
            say_therapists_are_ignored(codebook, frame, "X does")
        return None
    return normal_groups(frame[name])


def say_therapists_are_ignored(codebook: Codebook, frame: pd.DataFrame, where: str) -> None:
    """Warn if a table lacks the therapist column that its codebook names."""
    name = codebook.name("therapist")
    if name is not None and name not in frame:
        warn(
            f"The codebook names the therapist column {name!r}, which {where} not have: therapists are "
            "ignored, in the model and in its intervals. Add the column, fit to a Cohort that has it, or "
            "remove the role from the codebook."
        )
