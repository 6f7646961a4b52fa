"""Synthetic cohorts resembling NHS Talking Therapies, with the true probabilities."""

from treatsel.datasets._files import load_synthetic, synthetic_path, write_cohort, write_synthetic
from treatsel.datasets._generator import SyntheticCohort, make_cohort
from treatsel.datasets._mechanism import ARMS

__all__ = [
    "ARMS",
    "SyntheticCohort",
    "load_synthetic",
    "make_cohort",
    "synthetic_path",
    "write_cohort",
    "write_synthetic",
]
