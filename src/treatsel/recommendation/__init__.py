"""Recommendation of an arm from a by-arm table and its uncertainty."""

from treatsel.recommendation._decision import RULES, STATUSES
from treatsel.recommendation._decision import DecisionRule as DecisionRule
from treatsel.recommendation._decision import reasons_of as reasons_of
from treatsel.recommendation._outcomes import PatientOutcomes
from treatsel.recommendation._reasons import STATUS_REASONS
from treatsel.recommendation._reasons import plain_reasons as plain_reasons
from treatsel.recommendation._reasons import with_causes as with_causes
from treatsel.recommendation._recommend import DEFAULT_MARGIN, DEFAULT_P_SWITCH, DEFAULT_RULE, recommend
from treatsel.recommendation._recommend import permissions as permissions
from treatsel.recommendation._recommend import recommend_arrays as recommend_arrays
from treatsel.recommendation._result import Recommendations

__all__ = [
    "DEFAULT_MARGIN",
    "DEFAULT_P_SWITCH",
    "DEFAULT_RULE",
    "RULES",
    "STATUSES",
    "STATUS_REASONS",
    "PatientOutcomes",
    "Recommendations",
    "recommend",
]
