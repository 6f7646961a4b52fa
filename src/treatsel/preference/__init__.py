"""Patient preferences: weights of criteria, what is known about them, and how arms rank under them."""

from treatsel.preference._acceptability import Acceptability
from treatsel.preference._criterion import Criterion
from treatsel.preference._dominance import Dominance, dominance
from treatsel.preference._flips import Flips, flips, ranking_table
from treatsel.preference._outcome_weights import check_preferences, utility
from treatsel.preference._partial_values import PartialValues, partial_values
from treatsel.preference._preferences import Preferences
from treatsel.preference._smaa import acceptability, smaa, smaa_of_draws
from treatsel.preference._statements import Statement
from treatsel.preference._weight_set import WeightSet

__all__ = [
    "Acceptability",
    "Criterion",
    "Dominance",
    "Flips",
    "PartialValues",
    "Preferences",
    "Statement",
    "WeightSet",
    "acceptability",
    "check_preferences",
    "dominance",
    "flips",
    "partial_values",
    "ranking_table",
    "smaa",
    "smaa_of_draws",
    "utility",
]
