"""Check for duplicate patients: rows whose covariates are all equal, more often than chance allows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import stated
from treatsel.fitted import DataCheck
from treatsel.selector.data_checks._column import Column, IntArray, n_pairs, varying

MIN_COPIES = 5  # duplicate patients below which nothing is reported: fewer may be equal by chance
MAX_AGREEMENT = 1 / 30  # share of pairs with the same value above which a column cannot identify patients
EXCESS = 10  # factor by which the number of duplicate pairs must exceed that expected by chance


def check_duplicates(columns: Sequence[Column]) -> list[DataCheck]:
    """Report patients who share all of their covariates with another patient.

    Only patients with at least half of the covariates known are compared. In a table with few or coarse
    covariates, equal rows are expected by chance: pairs that agree on all other columns agree on the most
    distinctive column with that column's probability of agreement, whereas copies always agree. Pairs are
    reported if there are more than ten times as many as expected by chance.
    """
    columns = varying(columns)
    if not columns:
        return []
    table = pd.DataFrame({number: column.values for number, column in enumerate(columns)})
    table = table[2 * table.notna().sum(axis=1) >= len(columns)]
    n_equal = int(table.duplicated(keep=False).sum())
    agreement = [column.agreement for column in columns]
    chance = min(agreement)
    if n_equal < MIN_COPIES or chance >= MAX_AGREEMENT:
        return []
    sizes, without = _set_sizes(table), _set_sizes(table.drop(columns=agreement.index(chance)))
    if n_pairs(sizes) <= EXCESS * chance * n_pairs(without):
        return []
    n_sets = int((sizes > 1).sum())
    message = (
        f"{n_equal} patients share all of their {count_of(len(columns), 'covariate')} with another patient "
        f"({stated(n_sets, 'set')} of equal rows), more than chance would explain. If they were entered "
        "twice, or are one person treated repeatedly, they are counted too often, and may be in the data for "
        "fitting and in the data for testing. Keep one row per person, or use the person column as groups."
    )
    return [DataCheck("duplicate_patients", message)]


def _set_sizes(table: pd.DataFrame) -> IntArray:
    """Return the number of patients in each set of equal rows."""
    if not len(table.columns):
        return np.array([len(table)])
    return table.groupby(list(table.columns), dropna=False, sort=False).size().to_numpy()
