"""All guards of a development cohort, and how they speak."""

import warnings
from collections.abc import Sequence

import pandas as pd

from treatsel.errors import GuardWarning
from treatsel.selector.data_checks._arms import Guard, guard_events, guard_persons, guard_sample_size
from treatsel.selector.data_checks._column import columns_of
from treatsel.selector.data_checks._columns import guard_columns, guard_constant, guard_separation
from treatsel.selector.data_checks._duplicate_rows import guard_rows


def guard_table(
    covariates: pd.DataFrame,
    received: pd.Series,
    outcomes: pd.DataFrame,
    *,
    groups: pd.Series | None = None,
    persons: pd.Series | None = None,
) -> list[Guard]:
    """Return all that is shaky about a development table.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns: numbers and texts.
    received : Series of shape (n_patients,)
        Arm labels.
    outcomes : DataFrame of shape (n_patients, n_outcomes)
        0, 1 or NaN; the first is the main one.
    groups, persons : Series of shape (n_patients,), optional
        Site and person of each patient.

    Returns
    -------
    list of Guard
        Codes: ``few_events``, ``few_patients``, ``column_fixes_arm``, ``constant_column``,
        ``same_columns``, ``same_patients``, ``person_divided``.
    """
    found = [guard for name in outcomes for guard in guard_events(received, outcomes[name])]
    found += guard_sample_size(received, outcomes.iloc[:, 0])
    columns = columns_of(covariates)
    found += guard_constant(columns) + guard_separation(columns, received)
    found += guard_columns(columns) + guard_rows(columns)
    if persons is not None:
        found += guard_persons(persons, groups)
    return found


def warn_of(guards: Sequence[Guard]) -> None:
    """Say all in one warning."""
    if guards:
        listed = "\n".join(f"- {guard.message}" for guard in guards)
        warnings.warn(f"The development cohort is shaky ground:\n{listed}", GuardWarning, stacklevel=5)
