"""Page of a validation report: headline, front table, main cautions, and one section per topic."""

from collections.abc import Callable

import pandas as pd

from treatsel._reporting.format import number, percent, with_interval
from treatsel._reporting.page import Page, Section, Table
from treatsel.validation.report import sections
from treatsel.validation.report._checklist import section_of
from treatsel.validation.report._data import ReportData
from treatsel.validation.report._front_table import front_rows

Maker = Callable[[ReportData], Section]
ON_FRONT = 3  # cautions above the sections; all of them follow at the end
SECTIONS: tuple[tuple[str, Maker], ...] = (  # a section is on the page if its table exists
    ("headline", sections.best_arm),
    ("estimand", sections.estimand),
    ("flow", sections.participants),
    ("case mix", sections.case_mix),
    ("development: covariates", sections.development),
    ("flow", sections.policies),
    ("moved", sections.rule_in_use),
    ("flow", sections.discrimination),
    ("calibration curve", sections.calibration),
    ("calibration errors", sections.calibration_errors),
    ("flow", sections.overall),
    ("decision curve", sections.utility),
    ("effect by risk", sections.effect_modification),
    ("toc", sections.benefit),
    ("sites", sections.sites),
    ("internal-external", sections.internal_external),
    ("subgroups", sections.subgroups),
    ("instability", sections.instability),
    ("complete cases", sections.complete_cases),
    ("missing outcomes", sections.missing_outcomes),
    ("imputations", sections.imputations),
    ("confounding", sections.confounding),
    ("updating", sections.updating),
    ("sample size", sections.sample_size),
)


TITLES = {
    "external": "External validation",
    "cross-validated": "Cross-validation",
    "apparent": "Apparent performance",
}


def page_of(report: ReportData) -> Page:
    """Return the whole page."""
    found = [section(report) for table, section in SECTIONS if table in report.tables]
    return Page(
        title=f"{TITLES[report.kind]}: {report.outcome}",
        headline=report.headline,
        front_table=front_rows(report),
        facts=_facts(report),
        cautions=report.cautions[:ON_FRONT],
        sections=[*found, *_ends(report)],
    )


def _facts(report: ReportData) -> list[tuple[str, str]]:
    base = report.figure("base rate")
    sites = report.about.get("n_sites") or 0
    return [
        ("Patients with the outcome observed", f"{int(base['n']):,}"),
        (f"Rate of {report.outcome_label}", with_interval(base, percent)),
        ("Arms", ", ".join(report.about.get("arms", []))),
        ("Assignment probabilities", report.assignment),
        ("Sites", f"{sites:,}" if sites else "none named"),
        ("Effective sample size (policy value)", _effective_n(report)),
        ("Confidence level", f"{100 * report.level:g} %"),
        ("Model", report.model_id[:12] if report.model_id else "not from a file"),
    ]


def _effective_n(report: ReportData) -> str:
    if report.effective_n != report.effective_n:
        return "withheld" if report.kind == "apparent" else "not estimable"
    return number(report.effective_n, 0)


def _ends(report: ReportData) -> list[Section]:
    """Return the last sections: all cautions, what was not estimable, checklists."""
    found = []
    if len(report.cautions) > ON_FRONT:
        found.append(Section(heading="All cautions", paragraphs=list(report.cautions)))
    if report.not_estimable:
        frame = pd.DataFrame(report.not_estimable, columns=["Estimate", "Reason"])
        table = Table(frame, "Estimates that these data or arguments do not allow.", words=("Reason",))
        found.append(Section(heading="Not estimable: what could not be estimated, and why", tables=[table]))
    if "checklist" in report.tables:
        found.append(section_of(report.tables["checklist"]))
    return found
