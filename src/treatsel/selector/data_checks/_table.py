"""All guards of a development cohort, and how they speak."""

import warnings
from collections.abc import Sequence

import pandas as pd

from treatsel.errors import DataQualityWarning
from treatsel.fitted import DataCheck
from treatsel.selector.data_checks._arms import check_persons, guard_events, guard_sample_size
from treatsel.selector.data_checks._column import columns_of
from treatsel.selector.data_checks._columns import check_columns, guard_constant, guard_separation
from treatsel.selector.data_checks._duplicate_rows import check_duplicates


def run_checks(
    covariates: pd.DataFrame,
    received: pd.Series,
    outcomes: pd.DataFrame,
    *,
    groups: pd.Series | None = None,
    persons: pd.Series | None = None,
) -> list[DataCheck]:
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
        Codes: ``few_events``, ``small_arms``, ``positivity_violation``, ``constant_column``,
        ``collinear_columns``, ``duplicate_patients``, ``person_in_several_groups``.
    """
    found = [guard for name in outcomes for guard in guard_events(received, outcomes[name])]
    found += guard_sample_size(received, outcomes.iloc[:, 0])
    columns = columns_of(covariates)
    found += guard_constant(columns) + guard_separation(columns, received)
    found += check_columns(columns) + check_duplicates(columns)
    if persons is not None:
        found += check_persons(persons, groups)
    return found


def warn_of(guards: Sequence[DataCheck]) -> None:
    """Say all in one warning."""
    if guards:
        listed = "\n".join(f"- {guard.message}" for guard in guards)
        warnings.warn(f"The development cohort is shaky ground:\n{listed}", DataQualityWarning, stacklevel=5)
