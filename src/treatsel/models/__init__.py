"""Outcome models: scikit-learn classifiers of covariates and arm, with `predict_by_arm`; weighting models."""

from treatsel.additive import AdditiveModel, AssignmentModel, Encoding, Trees
from treatsel.models._assignment import (
    PROPENSITY_FLOOR,
    Assignment,
    assess_assignment,
    assignment_probabilities,
    randomized_probabilities,
)
from treatsel.models._assignment import low_propensity as low_propensity
from treatsel.models._base import SINGLE_ARM as SINGLE_ARM
from treatsel.models._base import covariates_of as covariates_of
from treatsel.models._base import received_arms as received_arms
from treatsel.models._imputed import ImputedClassifier
from treatsel.models._joint import JointDraws as JointDraws
from treatsel.models._learners import is_lightgbm as is_lightgbm
from treatsel.models._learners import prepare as prepare
from treatsel.models._lightgbm import trees_of_lightgbm as trees_of_lightgbm
from treatsel.models._loss_test import LossTest, loss_test
from treatsel.models._mixture import DropoutMixture
from treatsel.models._observation import Observation, observation_weights
from treatsel.models._posterior import few_draws as few_draws
from treatsel.models._priors_file import read_priors
from treatsel.models._recalibration import METHODS as METHODS
from treatsel.models._recalibration import Method as Method
from treatsel.models._recalibration import Recalibration as Recalibration
from treatsel.models._recalibration import Refit as Refit
from treatsel.models._recalibration import learn_recalibration as learn_recalibration
from treatsel.models._resample import fit_resample as fit_resample
from treatsel.models.armwise import ArmwiseClassifier
from treatsel.models.delta_adjusted import DeltaAdjustedClassifier
from treatsel.models.hierarchical import HierarchicalClassifier
from treatsel.models.hierarchical import shift_to as shift_to
from treatsel.models.pooled import PooledClassifier
from treatsel.models.priors import Priors
from treatsel.models.recalibrated import RecalibratedClassifier
from treatsel.models.stacked import StackedClassifier

__all__ = [
    "PROPENSITY_FLOOR",
    "AdditiveModel",
    "ArmwiseClassifier",
    "Assignment",
    "AssignmentModel",
    "DeltaAdjustedClassifier",
    "DropoutMixture",
    "Encoding",
    "HierarchicalClassifier",
    "ImputedClassifier",
    "LossTest",
    "Observation",
    "PooledClassifier",
    "Priors",
    "RecalibratedClassifier",
    "StackedClassifier",
    "Trees",
    "assess_assignment",
    "assignment_probabilities",
    "loss_test",
    "observation_weights",
    "randomized_probabilities",
    "read_priors",
]
