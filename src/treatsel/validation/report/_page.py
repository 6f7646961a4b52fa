"""A validation report as a page: headline, front table, gravest cautions, one section per question."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from treatsel._reporting.format import number, percent
from treatsel._reporting.page import Page, Section, Table
from treatsel.validation.report._checklist import section_of
from treatsel.validation.report._front_table import lights_of
from treatsel.validation.report.sections import _benefit, _case_mix, _participants, _tables

if TYPE_CHECKING:
    from treatsel.validation.report._report import ValidationReport

Maker = Callable[["ValidationReport"], Section]
ON_FRONT = 3  # cautions
SECTIONS: tuple[tuple[str, Maker], ...] = (  # each stands there if the table before it does
    ("flow", _participants.flow),
    ("case mix", _case_mix.case_mix),
    ("development: covariates", _case_mix.likeness),
    ("flow", _participants.policies),
    ("flow", _participants.discrimination),
    ("calibration curve", _participants.calibration),
    ("flow", _participants.overall),
    ("decision curve", _tables.use),
    ("toc", _benefit.benefit),
    ("sites", _tables.sites),
    ("sites left out", _tables.sites_left_out),
    ("subgroups", _tables.subgroups),
    ("missing outcomes", _tables.missing_outcomes),
    ("imputations", _case_mix.imputations),
    ("confounding", _tables.confounding),
    ("updating", _tables.updating),
    ("sample size", _tables.size),
)


def page_of(report: "ValidationReport") -> Page:
    """Return the whole page."""
    found = [section(report) for table, section in SECTIONS if table in report.tables]
    return Page(
        title=f"External validation: {report.outcome}",
        headline=report.headline,
        lights=lights_of(report),
        facts=_facts(report),
        cautions=report.cautions[:ON_FRONT],
        sections=[*found, *_ends(report)],
    )


def _facts(report: "ValidationReport") -> list[tuple[str, str]]:
    base = report.figure("base rate")
    sites = report.about.get("n_sites") or 0
    return [
        ("Patients with the outcome observed", f"{int(base['n']):,}"),
        (f"Rate of {report.outcome}", _participants.with_interval(base, percent)),
        ("Arms", ", ".join(report.about.get("arms", []))),
        ("Arms were assigned", report.assignment),
        ("Sites", f"{sites:,}" if sites else "none named"),
        ("Worth, for policies", _worth(report)),
        ("Intervals", f"{100 * report.level:g} %"),
        ("Model", report.model_id[:12] if report.model_id else "not from a file"),
    ]


def _worth(report: "ValidationReport") -> str:
    if report.effective_n != report.effective_n:
        return "not estimable"
    return f"{number(report.effective_n, 0)} patients of equal weight"


def _ends(report: "ValidationReport") -> list[Section]:
    """Return what stands at the end: all cautions, what was not estimable, checklists."""
    found = []
    if len(report.cautions) > ON_FRONT:
        found.append(Section(heading="All cautions", paragraphs=list(report.cautions)))
    if report.not_estimable:
        frame = pd.DataFrame(report.not_estimable, columns=["What", "Why not"])
        table = Table(frame, "What these data, or what was given, do not allow.", words=("Why not",))
        found.append(Section(heading="What could not be estimated", tables=[table]))
    if "checklist" in report.tables:
        found.append(section_of(report.tables["checklist"]))
    return found
