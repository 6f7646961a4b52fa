"""Benefit of one arm over another: the outcome rate if treated minus that under control, for any pair.

Outcome 1 is good, so a positive benefit favors the arm named `treated`. Patients of other arms are left
out, and propensities are renormalized to the two arms. Report first `benefit_calibration`,
`rank_weighted_average_treatment_effect` and `average_benefit`, which rest on doubly robust scores; metrics of
matched pairs (`c_for_benefit`, `e_for_benefit` and the two losses) depend on the matching and come second.
Predictions are tied only if they are exactly equal: round them to their meaningful digits first.
"""

from treatsel.metrics.benefit._average_benefit import average_benefit
from treatsel.metrics.benefit._benefit_calibration import BenefitCalibration, benefit_calibration
from treatsel.metrics.benefit._c_for_benefit import c_for_benefit
from treatsel.metrics.benefit._e_for_benefit import BenefitErrors, e_for_benefit
from treatsel.metrics.benefit._effect_by_risk import EffectByRisk, effect_by_risk
from treatsel.metrics.benefit._effect_modification import EffectModificationTest, effect_modification_test
from treatsel.metrics.benefit._logit_calibration import logit_benefit_recalibration, logit_benefit_slope
from treatsel.metrics.benefit._matching import MatchedPairs, match_pairs
from treatsel.metrics.benefit._model_based_c_for_benefit import model_based_c_for_benefit
from treatsel.metrics.benefit._pair_losses import brier_for_benefit, cross_entropy_for_benefit
from treatsel.metrics.benefit._rank_weighted import RankWeightedEffect, rank_weighted_average_treatment_effect
from treatsel.metrics.benefit._rule_value import (
    population_average_prescriptive_effect,
    population_average_value,
    population_benefit,
)

__all__ = [
    "BenefitCalibration",
    "BenefitErrors",
    "EffectByRisk",
    "EffectModificationTest",
    "MatchedPairs",
    "RankWeightedEffect",
    "average_benefit",
    "benefit_calibration",
    "brier_for_benefit",
    "c_for_benefit",
    "cross_entropy_for_benefit",
    "e_for_benefit",
    "effect_by_risk",
    "effect_modification_test",
    "logit_benefit_recalibration",
    "logit_benefit_slope",
    "match_pairs",
    "model_based_c_for_benefit",
    "population_average_prescriptive_effect",
    "population_average_value",
    "population_benefit",
    "rank_weighted_average_treatment_effect",
]
