"""Section: the estimand, and the plan of the validation."""

from treatsel._reporting.format import DASH, number
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, shown, text


def estimand(report: ReportData) -> Section:
    """Return what is estimated, and which figure was planned as the primary one."""
    columns: dict[str, tuple[str, Shown]] = {
        "attribute": ("Attribute", text),
        "statement": ("In this report", text),
        "planned": ("Fixed in the plan", lambda planned: "yes" if planned else DASH),
    }
    return Section(
        heading="Estimand and plan: what is estimated?",
        paragraphs=[_plan(report)],
        tables=[shown(report.tables["estimand"], columns, "The estimand.")],
        note="ICH E9(R1), addendum on estimands and sensitivity analysis.",
    )


def _plan(report: ReportData) -> str:
    """Return the primary figure and the digest of the plan, or that there was no plan."""
    plan = report.about.get("plan")
    if not plan:
        return (
            "No plan was given: no figure was fixed as the primary one beforehand, and all figures are "
            "exploratory, the headline included."
        )
    registered = f", registered at {plan['registration']}" if plan["registration"] else ""
    return (
        f"Primary figure: {_primary(report, plan['primary'])}. It was fixed in the plan of {plan['date']}"
        f"{registered} (SHA-256 {plan['sha256'][:16]}). All other figures are exploratory: their intervals "
        "are not adjusted for their number."
    )


def _primary(report: ReportData, measure: str) -> str:
    if not report.has(measure):
        return f"{measure}, which is not estimable here"
    row = report.figure(measure)
    return f"{measure}, {number(row['value'], 3)} ({number(row['lower'], 3)} to {number(row['upper'], 3)})"
