"""Data-quality checks of a development cohort. Checks report problems; they change nothing."""

from treatsel.selector.data_checks._arms import check_overlap
from treatsel.selector.data_checks._model import (
    check_auc,
    check_extreme,
    check_loss,
    check_observation,
    check_priors,
    check_process,
    check_proportional,
    check_shift,
)
from treatsel.selector.data_checks._table import run_checks, warn_of

__all__ = [
    "check_auc",
    "check_extreme",
    "check_loss",
    "check_observation",
    "check_overlap",
    "check_priors",
    "check_process",
    "check_proportional",
    "check_shift",
    "run_checks",
    "warn_of",
]
