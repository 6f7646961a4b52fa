"""Sections of the report page, one file each, named like the parts; each takes a `ReportData`."""

from treatsel.validation.report.sections._benefit import benefit
from treatsel.validation.report.sections._best_arm import best_arm
from treatsel.validation.report.sections._calibration import calibration
from treatsel.validation.report.sections._calibration_errors import calibration_errors
from treatsel.validation.report.sections._case_mix import case_mix
from treatsel.validation.report.sections._complete_cases import complete_cases
from treatsel.validation.report.sections._confounding import confounding
from treatsel.validation.report.sections._development import development
from treatsel.validation.report.sections._discrimination import discrimination
from treatsel.validation.report.sections._effect_modification import effect_modification
from treatsel.validation.report.sections._estimand import estimand
from treatsel.validation.report.sections._imputations import imputations
from treatsel.validation.report.sections._instability import instability
from treatsel.validation.report.sections._internal_external import internal_external
from treatsel.validation.report.sections._missing_outcomes import missing_outcomes
from treatsel.validation.report.sections._overall import overall
from treatsel.validation.report.sections._participants import participants
from treatsel.validation.report.sections._policies import policies
from treatsel.validation.report.sections._rule_in_use import rule_in_use
from treatsel.validation.report.sections._sample_size import sample_size
from treatsel.validation.report.sections._sites import sites
from treatsel.validation.report.sections._subgroups import subgroups
from treatsel.validation.report.sections._tables import Shown as Shown
from treatsel.validation.report.sections._tables import count as count
from treatsel.validation.report.sections._tables import figure as figure
from treatsel.validation.report.sections._tables import shown as shown
from treatsel.validation.report.sections._tables import text as text
from treatsel.validation.report.sections._tables import three as three
from treatsel.validation.report.sections._updating import updating
from treatsel.validation.report.sections._utility import utility

__all__ = [
    "benefit",
    "best_arm",
    "calibration",
    "calibration_errors",
    "case_mix",
    "complete_cases",
    "confounding",
    "development",
    "discrimination",
    "effect_modification",
    "estimand",
    "imputations",
    "instability",
    "internal_external",
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
]
