"""Eligibility: dated rules, read from data, that exclude arms for a patient or warn of them, with reasons."""

from treatsel.eligibility._grammar import MOST_CHARACTERS, MOST_LEVELS
from treatsel.eligibility._result import Eligibility, PatientEligibility, Reason
from treatsel.eligibility._rule import EFFECTS, Rule
from treatsel.eligibility._rules import Rules

__all__ = [
    "EFFECTS",
    "MOST_CHARACTERS",
    "MOST_LEVELS",
    "Eligibility",
    "PatientEligibility",
    "Reason",
    "Rule",
    "Rules",
]
