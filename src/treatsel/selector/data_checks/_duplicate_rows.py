"""Check for duplicate patients: rows whose covariates agree more often than chance allows."""

from collections.abc import Sequence

import numpy as np

from treatsel.fitted import DataCheck
from treatsel.selector.data_checks._column import Column, _pairs, _varying

FEWEST_COPIES = 5
_VARIED = 1 / 30  # share of pairs of patients with the same value, in a column that tells patients apart
_CANDIDATES = 12  # such columns that are left out in turn to see how rows come to be alike


# --- patients who are alike


def check_duplicates(columns: Sequence[Column]) -> list[DataCheck]:
    """Tell of patients whose covariates are all alike, where that is no coincidence.

    Only patients with half of the covariates or more known are compared. By coincidence, leaving out a
    column whose values agree in a share c of all pairs multiplies the pairs of patients that are alike by
    about 1 / c; between copies of one row it changes nothing. Told only if ten times as many pairs are alike
    as coincidence would leave, for each of the first twelve columns with c below 1/30; if there is none,
    the table is too coarse to tell copies from coincidence.
    """
    columns = _varying(columns)
    if not columns:
        return []
    known = sum((~np.isnan(column.values)).astype(np.int64) for column in columns)
    rows = np.flatnonzero(2 * known >= len(columns))
    total = np.zeros(len(rows), dtype=np.uint64)
    for number, column in enumerate(columns):
        total += _salted(column, number)[rows]
    counts = np.unique(total, return_counts=True)[1]
    n_alike, n_sets = int(counts[counts > 1].sum()), int((counts > 1).sum())
    n_pairs, agreement = _pairs(counts), np.array([column.agreement for column in columns])
    if n_alike < FEWEST_COPIES or agreement.min() >= _VARIED:
        return []
    for number in np.flatnonzero(agreement < _VARIED)[:_CANDIDATES].tolist():
        without = np.unique(total - _salted(columns[number], number)[rows], return_counts=True)[1]
        if n_pairs <= 10 * agreement[number] * _pairs(without):
            return []
    message = (
        f"{n_alike} patients share all of their {len(columns)} covariates with another patient "
        f"({n_sets} sets), more than by coincidence. Entered twice, or one person treated repeatedly, "
        "they count too much and lie on both sides of a fold. Keep one row a person, or name the persons "
        "as groups."
    )
    return [DataCheck("duplicate_patients", message)]


def _salted(column: Column, number: int) -> np.ndarray:
    """Return numbers of 64 bits whose sum over columns stands for a row."""
    return column.mixed * np.uint64(2 * (0x9E3779B97F4A7C15 * (number + 1) % 2**62) + 1)
