"""Why the model says so: exact SHAP values per arm, and for the difference of two arms.

All of this is about the model: an attribution says what moved the model's prediction, not what would
change the patient's outcome.
"""

from treatsel.explanation._explain import explain
from treatsel.explanation._explain import explain_table as explain_table
from treatsel.explanation._result import Explanation

__all__ = ["Explanation", "explain"]
