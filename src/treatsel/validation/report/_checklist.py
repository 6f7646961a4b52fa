"""Reporting checklists, filled in where the report holds the answer."""

import string
from importlib import resources
from pathlib import Path

import pandas as pd
import yaml

from treatsel._checks import count_of
from treatsel._reporting.format import points
from treatsel._reporting.page import Page, Section, Table, to_markdown
from treatsel._version import __version__
from treatsel.errors import InputError
from treatsel.metrics import FEWEST_CLUSTERS
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._data import ReportData

BLANK = "author to complete"
HEADINGS = {"item": "Item", "topic": "Topic", "asks": "Description", "answer": "Answer"}
NOTE = (
    "Answers are filled in where the report provides them. The items are abridged; the published checklists "
    "are definitive."
)


def checklist(facts: dict[str, str], *, sites: bool) -> pd.DataFrame:
    """Return the items of all checklists that apply: list, source, item, topic, asks, answer.

    Parameters
    ----------
    facts : dict of str to str
        Facts of the report, by the names used in the answers. An answer that needs a missing or empty fact
        is left to the author.
    sites : bool
        Whether the cohort has sites.
    """
    text = resources.files("treatsel").joinpath("validation/checklists.yaml").read_text(encoding="utf-8")
    rows = [
        {
            "list": entry["list"],
            "source": entry["source"],
            "item": str(item[0]),
            "topic": item[1],
            "asks": item[2],
            "answer": _answer(item[3], facts) if len(item) > 3 else BLANK,
        }
        for entry in yaml.safe_load(text)
        if entry.get("only") != "sites" or sites
        for item in entry["items"]
    ]
    return pd.DataFrame(rows)


def _answer(pattern: str, facts: dict[str, str]) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
    if any(not facts.get(name) for name in names):
        return BLANK
    return pattern.format_map(facts)


def answers_of(report: ReportData) -> dict[str, str]:
    """Return the facts of a report that fill in checklists, by name."""
    base, about, sites = report.figure("base rate"), report.about, int(report.about["n_sites"])
    n, seen = int(about["n"]), int(about["n_observed"])
    facts = {
        "outcome": report.outcome,
        "arms": ", ".join(about["arms"]),
        "assignment": report.assignment,
        "n": f"{n:,}",
        "n_observed": f"{seen:,}",
        "n_events": f"{int(base['n_events']):,}",
        "n_sites": f"{sites:,}",
        "headline": report.headline,
        "cautions": " ".join(report.cautions),
        "version": __version__,
        "model": f"Model file with id {report.model_id}." if report.model_id else "",
        "missing": _missing(report, n, seen),
        "measures": ", ".join(dict.fromkeys(report.figures.loc[report.figures["value"].notna(), "section"])),
        "overlap": _overlap(report),
        "sites": f"{count_of(sites, 'site')}." if sites else "",
    }
    if sites:
        enough = sites >= FEWEST_CLUSTERS
        facts["clustering"] = (
            f"Intervals of policy estimates {'are' if enough else 'are not'} cluster-robust by site "
            f"({count_of(sites, 'site')})."
        )
    rows = report.figures
    here = rows[(rows["section"] == "sites") & (rows["measure"] == "within-arm AUC, new site")]
    if len(here):
        new = here.iloc[0]
        facts["heterogeneity"] = (
            f"Within-arm AUC at a new site: {new['lower']:.2f} to {new['upper']:.2f} (prediction interval)."
        )
    if "sample size" in report.tables:
        needed = report.tables["sample size"].set_index("criterion")["n"].dropna()
        facts["sample_size"] = f"{seen:,} patients; needed by criterion: " + ", ".join(
            f"{name} {int(count):,}" for name, count in needed.items()
        )
    if "updating" in report.tables and "chosen" in report.tables["updating"]:
        table = report.tables["updating"]
        chosen = table.loc[table["chosen"].astype(bool), "method"].iloc[0]
        facts["updating"] = f"Closed test of updates: {chosen}."
    if report.has("membership AUC, case mix only"):
        auc = report.figure("membership AUC, case mix only")
        facts["differences"] = (
            f"Membership AUC {auc['value']:.2f} ({auc['lower']:.2f} to {auc['upper']:.2f}); standardized "
            "differences and the distribution of the linear predictor are in the report."
        )
    if "subgroups" in report.tables:
        columns = sorted(set(report.tables["subgroups"]["variable"]) - {OVERALL})
        facts["fairness"] = f"Estimates and tests of heterogeneity by {', '.join(map(str, columns))}."
    return facts


def _missing(report: ReportData, n: int, seen: int) -> str:
    if n == seen:
        return "No outcome was missing."
    handled = "whom weights represent" if "complete cases" in report.tables else "who were left out"
    reported = f"Outcome missing in {n - seen:,} of {n:,} patients, {handled}"
    if not report.has("gain over the best single arm, lowest"):
        return f"{reported}."
    low, high = (
        report.figure(f"gain over the best single arm, {end}")["value"] for end in ("lowest", "highest")
    )
    return f"{reported}; whatever these outcomes are, the gain lies between {points(low)} and {points(high)}."


def _overlap(report: ReportData) -> str:
    if report.about.get("kind", "external") != "external":
        return "No: patients of the development cohort are among these."
    return "The cohort is not the development cohort; the author should confirm that no patient is in both."


def markdown_of(items: pd.DataFrame) -> str:
    """Return the checklists as Markdown."""
    page = Page(title="Reporting checklists", headline=NOTE, sections=[section_of(items)])
    return to_markdown(page)


def section_of(items: pd.DataFrame) -> Section:
    """Return the checklists as a section of a page."""
    tables = []
    for (name, source), rows in items.groupby(["list", "source"], sort=False):
        frame = rows[list(HEADINGS)].rename(columns=HEADINGS)
        tables.append(Table(frame, f"{name}, after {source}", words=("Topic", "Description", "Answer")))
    return Section(heading="Reporting checklists", paragraphs=[NOTE], tables=tables)


def check_checklist_name(path: str | Path) -> Path:
    """Return the path; raise unless its suffix is .md or .csv."""
    path = Path(path)
    if path.suffix.lower() not in (".md", ".csv"):
        raise InputError(f"Checklists are written as .md or .csv; {path.name!r} has another suffix.")
    return path
