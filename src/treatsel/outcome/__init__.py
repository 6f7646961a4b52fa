"""`Outcome`: named 0/1 definitions of remission, reliable change and dropout, computed from scores.

For every function: Series are matched by index, arrays by position; prorated scores remain fractions. The
result is a float Series named by the outcome: 1 = event, 0 = no event, NaN = not known. A patient with any
missing input gets NaN, even if the other inputs would determine the outcome. The user chooses the outcome;
there is no default.
"""

from treatsel.outcome._derived import DerivedOutcome as DerivedOutcome
from treatsel.outcome._derived import derive as derive
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
