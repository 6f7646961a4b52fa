"""Data-quality checks of a development cohort. Checks report problems; they change nothing."""

from treatsel.selector.data_checks._arms import guard_auc, guard_overlap
from treatsel.selector.data_checks._table import guard_table, warn_of

__all__ = [
    "guard_auc",
    "guard_overlap",
    "guard_table",
    "warn_of",
]
