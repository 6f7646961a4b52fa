"""Parts of a validation report: each turns a task and its policies into estimates and cautions."""

from treatsel.validation._small_groups import without_few_discordant
from treatsel.validation.parts._benefit import ERRORS, benefit
from treatsel.validation.parts._best_arm import ADJUSTED, best_arm
from treatsel.validation.parts._calibration import calibration
from treatsel.validation.parts._calibration_errors import calibration_errors
from treatsel.validation.parts._case_mix import case_mix
from treatsel.validation.parts._complete_cases import complete_cases, lost_in_words
from treatsel.validation.parts._confounding import confounding
from treatsel.validation.parts._development import development, development_of
from treatsel.validation.parts._discrimination import discrimination
from treatsel.validation.parts._effect_modification import effect_modification
from treatsel.validation.parts._estimand import estimand
from treatsel.validation.parts._imputations import imputations, imputed_of
from treatsel.validation.parts._instability import instability
from treatsel.validation.parts._internal_external import internal_external
from treatsel.validation.parts._missing_outcomes import missing_outcomes
from treatsel.validation.parts._overall import overall
from treatsel.validation.parts._part import (
    COLUMNS,
    MIN_EVENTS,
    OVERALL,
    Caution,
    PartResult,
    Severity,
    joined,
)
from treatsel.validation.parts._participants import participants
from treatsel.validation.parts._policies import effective_n, policies
from treatsel.validation.parts._rule_in_use import rule_in_use
from treatsel.validation.parts._sample_size import sample_size
from treatsel.validation.parts._sites import sites
from treatsel.validation.parts._subgroups import subgroups
from treatsel.validation.parts._updating import updating
from treatsel.validation.parts._utility import utility

__all__ = [
    "ADJUSTED",
    "COLUMNS",
    "ERRORS",
    "MIN_EVENTS",
    "OVERALL",
    "Caution",
    "PartResult",
    "Severity",
    "benefit",
    "best_arm",
    "calibration",
    "calibration_errors",
    "case_mix",
    "complete_cases",
    "confounding",
    "development",
    "development_of",
    "discrimination",
    "effect_modification",
    "effective_n",
    "estimand",
    "imputations",
    "imputed_of",
    "instability",
    "internal_external",
    "joined",
    "lost_in_words",
    "missing_outcomes",
    "overall",
    "participants",
    "policies",
    "rule_in_use",
    "sample_size",
    "sites",
    "subgroups",
    "updating",
    "utility",
    "without_few_discordant",
]
