"""Additive models: fitted models as sums of terms on the logit scale, in arrays, with exact explanations."""

from treatsel.additive._column import Column
from treatsel.additive._encoder import Encoding, patients_of
from treatsel.additive._explainer import Explainer
from treatsel.additive._explainer import positions_of as positions_of
from treatsel.additive._joint import rows_of_draws as rows_of_draws
from treatsel.additive._kernel import check_compiled as check_compiled
from treatsel.additive._kernel import compiled_form as compiled_form
from treatsel.additive._kernel import is_available as is_available
from treatsel.additive._kernel import weighted_sum as weighted_sum
from treatsel.additive._model import LOW_PROPENSITY as LOW_PROPENSITY
from treatsel.additive._model import AdditiveModel, AssignmentModel
from treatsel.additive._model import additive_of as additive_of
from treatsel.additive._moments import NARROWEST as NARROWEST
from treatsel.additive._moments import is_constant as is_constant
from treatsel.additive._moments import moments_of as moments_of
from treatsel.additive._numeric import logistic, logistic_quantiles, quantiles
from treatsel.additive._numeric import pairing as pairing
from treatsel.additive._score import ScoreLevels as ScoreLevels
from treatsel.additive._scoring import score_trees
from treatsel.additive._shapley import warm_up as warm_up
from treatsel.additive._sites import NEW as NEW
from treatsel.additive._sites import SERVICES as SERVICES
from treatsel.additive._sites import Numbers as Numbers
from treatsel.additive._sites import SiteEffects as SiteEffects
from treatsel.additive._sites import site_label as site_label
from treatsel.additive._sources import draws_by_source as draws_by_source
from treatsel.additive._trees import Trees

__all__ = [
    "AdditiveModel",
    "AssignmentModel",
    "Column",
    "Encoding",
    "Explainer",
    "Trees",
    "logistic",
    "logistic_quantiles",
    "patients_of",
    "quantiles",
    "score_trees",
]
