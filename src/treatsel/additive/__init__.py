"""A fitted model as sums of terms on the logit scale: plain arrays, scored alike for one patient or many."""

from treatsel.additive._encoder import Column, Encoding
from treatsel.additive._explainer import Explainer, positions_of
from treatsel.additive._kernel import check_compiled, weighted_sum
from treatsel.additive._model import RARELY, AdditiveModel, AssignmentModel
from treatsel.additive._numeric import logistic, logistic_quantiles, pairing, quantiles
from treatsel.additive._scoring import score_trees
from treatsel.additive._shapley import warm_up
from treatsel.additive._trees import Trees

__all__ = [
    "RARELY",
    "AdditiveModel",
    "AssignmentModel",
    "Column",
    "Encoding",
    "Explainer",
    "Trees",
    "check_compiled",
    "logistic",
    "logistic_quantiles",
    "pairing",
    "positions_of",
    "quantiles",
    "score_trees",
    "warm_up",
    "weighted_sum",
]
