"""The validation report: its data, sections, front table, checklists, page and output formats."""

from treatsel.validation.report._checklist import answers_of, check_checklist_name, checklist
from treatsel.validation.report._combine import CombinedReports, combine
from treatsel.validation.report._compare import compare, not_shared
from treatsel.validation.report._headline import PLAUSIBLE_GAIN, check_plausible_gain
from treatsel.validation.report._page import page_of
from treatsel.validation.report._report import ValidationReport

__all__ = [
    "PLAUSIBLE_GAIN",
    "CombinedReports",
    "ValidationReport",
    "answers_of",
    "check_checklist_name",
    "check_plausible_gain",
    "checklist",
    "combine",
    "compare",
    "not_shared",
    "page_of",
]
