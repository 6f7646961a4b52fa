"""Scarce places: who of a list gets which arm, and which patient sees which therapist."""

from treatsel.allocation._allocate import allocate
from treatsel.allocation._budget import Budget
from treatsel.allocation._match import Matching, match
from treatsel.allocation._result import Allocation
from treatsel.allocation._therapists import TherapistUtilities, allowed_pairs, therapist_utilities

__all__ = [
    "Allocation",
    "Budget",
    "Matching",
    "TherapistUtilities",
    "allocate",
    "allowed_pairs",
    "match",
    "therapist_utilities",
]
