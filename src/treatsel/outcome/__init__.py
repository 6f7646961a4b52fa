"""`Outcome`: named 0/1 definitions of remission, reliable change and dropout; scores in, 0/1 out.

Holds for every function here. Series are matched by index, arrays by position; prorated scores stay
fractions. The answer is a float Series named by the outcome: 1 = it happened, 0 = it did not, NaN = not
known. A patient who lacks any needed input gets NaN, also where the rest would already decide. The user names
the outcome; nothing is assumed.
"""

from treatsel.outcome._dropout import below_dose, non_start, one_session, unplanned_end
from treatsel.outcome._named import Outcome
from treatsel.outcome._nhs import (
    nhs_recovery,
    reliable_deterioration,
    reliable_improvement,
    reliable_recovery,
)
from treatsel.outcome._scores import caseness, remission, response

__all__ = [
    "Outcome",
    "below_dose",
    "caseness",
    "nhs_recovery",
    "non_start",
    "one_session",
    "reliable_deterioration",
    "reliable_improvement",
    "reliable_recovery",
    "remission",
    "response",
    "unplanned_end",
]
