"""Outcome models: scikit-learn classifiers over covariates and the arm column, with `predict_by_arm`."""

from treatsel.additive import AdditiveModel, AssignmentModel, Encoding, Trees
from treatsel.models._assignment import (
    PROPENSITY_FLOOR,
    Assignment,
    assess_assignment,
    assignment_probabilities,
    randomised_probabilities,
)
from treatsel.models._base import SINGLE_ARM
from treatsel.models._folds import balanced_folds, seed_of
from treatsel.models._observation import Observation, observation_weights
from treatsel.models.armwise import ArmwiseClassifier
from treatsel.models.hierarchical import HierarchicalClassifier
from treatsel.models.pooled import PooledClassifier
from treatsel.models.recalibrated import RecalibratedClassifier
from treatsel.models.stacked import StackedClassifier

__all__ = [
    "PROPENSITY_FLOOR",
    "SINGLE_ARM",
    "AdditiveModel",
    "ArmwiseClassifier",
    "Assignment",
    "AssignmentModel",
    "Encoding",
    "HierarchicalClassifier",
    "Observation",
    "PooledClassifier",
    "RecalibratedClassifier",
    "StackedClassifier",
    "Trees",
    "assess_assignment",
    "assignment_probabilities",
    "balanced_folds",
    "observation_weights",
    "randomised_probabilities",
    "seed_of",
]
