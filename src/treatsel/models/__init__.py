"""Outcome models: scikit-learn classifiers over covariates and the arm column, with `predict_by_arm`."""

from treatsel.models._additive import AdditiveModel
from treatsel.models._assignment import PROPENSITY_FLOOR, assignment_probabilities
from treatsel.models._base import SINGLE_ARM
from treatsel.models._encoder import Encoding
from treatsel.models._folds import balanced_folds
from treatsel.models._trees import Trees
from treatsel.models.armwise import ArmwiseClassifier
from treatsel.models.pooled import PooledClassifier

__all__ = [
    "PROPENSITY_FLOOR",
    "SINGLE_ARM",
    "AdditiveModel",
    "ArmwiseClassifier",
    "Encoding",
    "PooledClassifier",
    "Trees",
    "assignment_probabilities",
    "balanced_folds",
]
