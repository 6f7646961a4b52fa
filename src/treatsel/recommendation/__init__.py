"""Recommendation of an arm from a by-arm table and its uncertainty."""

from treatsel.recommendation._decision import STATUSES
from treatsel.recommendation._decision import reasons_of as reasons_of
from treatsel.recommendation._recommend import RULES, recommend
from treatsel.recommendation._recommend import check_rule as check_rule
from treatsel.recommendation._recommend import recommend_arrays as recommend_arrays
from treatsel.recommendation._result import Recommendations

__all__ = ["RULES", "STATUSES", "Recommendations", "recommend"]
