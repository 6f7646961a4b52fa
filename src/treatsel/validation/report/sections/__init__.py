"""Sections of the page of a validation report, one file a topic; each takes a `ReportData`."""

from treatsel.validation.report.sections._benefit import benefit
from treatsel.validation.report.sections._calibration import calibration
from treatsel.validation.report.sections._case_mix import case_mix
from treatsel.validation.report.sections._confounding import confounding
from treatsel.validation.report.sections._development import development
from treatsel.validation.report.sections._discrimination import discrimination
from treatsel.validation.report.sections._imputations import imputations
from treatsel.validation.report.sections._missing_outcomes import missing_outcomes
from treatsel.validation.report.sections._overall import overall
from treatsel.validation.report.sections._participants import participants
from treatsel.validation.report.sections._policies import policies
from treatsel.validation.report.sections._sample_size import sample_size
from treatsel.validation.report.sections._sites import sites, sites_left_out
from treatsel.validation.report.sections._subgroups import subgroups
from treatsel.validation.report.sections._updating import updating
from treatsel.validation.report.sections._utility import utility

__all__ = [
    "benefit",
    "calibration",
    "case_mix",
    "confounding",
    "development",
    "discrimination",
    "imputations",
    "missing_outcomes",
    "overall",
    "participants",
    "policies",
    "sample_size",
    "sites",
    "sites_left_out",
    "subgroups",
    "updating",
    "utility",
]
