"""Explanation of predictions: SHAP values for an arm, and for the difference between two arms.

Explanations describe the model: an attribution is a covariate's contribution to the model's prediction, not
the effect of changing it on the patient's outcome.
"""

from treatsel.explanation._explain import arms_at as arms_at
from treatsel.explanation._explain import explain
from treatsel.explanation._explain import explain_predictions as explain_predictions
from treatsel.explanation._explain import explain_table as explain_table
from treatsel.explanation._result import Explanation

__all__ = ["Explanation", "explain"]
