"""Explanation of predictions: SHAP values for an arm, and for the difference between two arms.

Explanations describe the model: an attribution is a covariate's contribution to the model's prediction, not
the effect of changing it on the patient's outcome.
"""

from treatsel.explanation._changes import CHANGE_NOTES as CHANGE_NOTES
from treatsel.explanation._changes import Change as Change
from treatsel.explanation._changes import nearest_number as nearest_number
from treatsel.explanation._explain import arms_at as arms_at
from treatsel.explanation._explain import explain
from treatsel.explanation._explain import explain_predictions as explain_predictions
from treatsel.explanation._explain import explain_table as explain_table
from treatsel.explanation._recommendation import SOURCES as SOURCES
from treatsel.explanation._recommendation import RecommendationExplanation
from treatsel.explanation._result import Explanation
from treatsel.explanation._variance import variance_shares as variance_shares

__all__ = ["Explanation", "RecommendationExplanation", "explain"]
