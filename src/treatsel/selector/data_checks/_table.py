"""Run all data-quality checks and issue one warning."""

from collections.abc import Sequence

import pandas as pd

from treatsel._stats.clustered_means import MIN_CLUSTERS
from treatsel.errors import DataQualityWarning, warn
from treatsel.fitted import DataCheck
from treatsel.selector.data_checks._arms import check_events, check_persons, check_sample_size, check_sites
from treatsel.selector.data_checks._column import columns_of
from treatsel.selector.data_checks._columns import check_collinear, check_constant, check_positivity
from treatsel.selector.data_checks._duplicate_rows import check_duplicates
from treatsel.selector.data_checks._model import check_leaks
from treatsel.selector.data_checks._rare_levels import check_rare


def run_checks(
    covariates: pd.DataFrame,
    received: pd.Series,
    outcomes: pd.DataFrame,
    *,
    groups: pd.Series | None = None,
    persons: pd.Series | None = None,
) -> list[DataCheck]:
    """Return all problems found in a development table.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline covariates: numbers and texts.
    received : Series of shape (n_patients,)
        Arm labels.
    outcomes : DataFrame of shape (n_patients, n_outcomes)
        0, 1 or NaN; the first is the main outcome.
    groups, persons : Series of shape (n_patients,), optional
        Site and person of each patient.

    Returns
    -------
    list of DataCheck
        Codes: ``few_events``, ``small_arms``, ``positivity_violation``, ``constant_column``,
        ``collinear_columns``, ``duplicate_patients``, ``person_in_several_groups``, ``arm_at_few_sites``,
        ``suspected_leakage``, ``rare_levels``.
    """
    found = [check for name in outcomes for check in check_events(received, outcomes[name])]
    found += check_sample_size(received, outcomes.iloc[:, 0])
    found += [check for name in outcomes for check in check_leaks(covariates, outcomes[name])]
    columns = columns_of(covariates)
    found += check_constant(columns) + check_positivity(columns, received)
    found += check_rare(covariates)
    found += check_collinear(columns) + check_duplicates(columns)
    if groups is not None:
        found += check_sites(received, groups, fewest=MIN_CLUSTERS)
    if persons is not None:
        found += check_persons(persons, groups)
    return found


def warn_of(checks: Sequence[DataCheck]) -> None:
    """Issue one warning that lists all findings."""
    if checks:
        listed = "\n".join(f"- {check.message}" for check in checks)
        warn(f"Data-quality checks of the development cohort:\n{listed}", DataQualityWarning)
