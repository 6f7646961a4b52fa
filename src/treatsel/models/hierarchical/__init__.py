"""Hierarchical logistic regression: the classifier and its numerical methods."""

from treatsel.models.hierarchical._classifier import HierarchicalClassifier
from treatsel.models.hierarchical._curvature import NO_EFFECTS, Curvature, Patients
from treatsel.models.hierarchical._hierarchy import Hierarchy
from treatsel.models.hierarchical._known_sites import Draws as Draws
from treatsel.models.hierarchical._known_sites import shift_to as shift_to
from treatsel.models.hierarchical._levels import Contributions, Levels
from treatsel.models.hierarchical._levels import boundaries_of as boundaries_of
from treatsel.models.hierarchical._screening import select_covariates
from treatsel.models.hierarchical._screening import widened as widened
from treatsel.models.hierarchical._sited import SitedClassifier
from treatsel.models.hierarchical._sited import with_score as with_score

__all__ = [
    "NO_EFFECTS",
    "Contributions",
    "Curvature",
    "HierarchicalClassifier",
    "Hierarchy",
    "Levels",
    "Patients",
    "SitedClassifier",
    "select_covariates",
]
