"""Section: performance by site, and with sites left out."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import p_value, percent
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import (
    Shown,
    count,
    figure,
    figures_table,
    shown,
    text,
    three,
)

MOST_SITES = 60  # in a picture


def sites(report: ReportData) -> Section:
    """Sites, and a new one."""
    return _by_site(
        report,
        "sites",
        "Does it hold at every site, and at a new one?",
        "Each site by itself, the mean over sites, and the range in which the figure of a new site like "
        "these is expected to lie. The last is what matters before the model is used elsewhere.",
    )


def sites_left_out(report: ReportData) -> Section:
    """Sites, each predicted by a model fitted to the others."""
    return _by_site(
        report,
        "sites left out",
        "How well does a model fitted here do at the next site?",
        "Internal-external cross-validation: a new model is fitted to all sites but one and judged at that "
        "one, for each in turn. It is the way of modelling that is judged, not the model validated above.",
    )


def _by_site(report: ReportData, section: str, heading: str, about: str) -> Section:
    table, pictures = report.tables[section], []
    for measure, reference in (("within-arm AUC", 0.5), ("calibration slope", 1.0)):
        rows = _forest(report, section, measure)
        if rows is not None:
            axes = plots.bare_axes(width=7, height=1.2 + 0.36 * len(rows))
            axes = plots.estimates(rows, reference=reference, xlabel=measure, ax=axes)
            words = f"{measure} by site, with the mean over sites and a new site."
            pictures.append(figure(axes, f"{section} {measure}", words))
    spread: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "n_sites": ("Sites", count),
        "n_left_out": ("Not pooled", count),
        "tau2": ("Variance between sites", three),
        "i2": ("Share of it", percent),
        "p_value_q": ("p of no differences", p_value),
    }
    by_site: dict[str, tuple[str, Shown]] = {
        "site": ("Site", text),
        "measure": ("Measure", text),
        "value": ("Estimate", three),
        "lower": ("Lower", three),
        "upper": ("Upper", three),
        "n": ("n", count),
        "n_events": ("Events", count),
        "method": ("Interval by, or why none", text),
    }
    return Section(
        heading=heading,
        paragraphs=[about],
        figures=pictures,
        tables=[
            figures_table(report, [section], "Means over sites, and a new site."),
            shown(report.tables[f"{section}: differences"], spread, "Differences between sites."),
            shown(table, by_site, "Every site."),
        ],
        note="Random effects by REML, Hartung-Knapp intervals, prediction interval with k - 2 degrees of "
        "freedom. Debray et al. 2017; Steyerberg & Harrell 2016.",
    )


def _forest(report: ReportData, section: str, measure: str) -> pd.DataFrame | None:
    """Return the sites, their mean and a new site, or None where there is no mean or too many sites."""
    table, ends = report.tables[section], report.figures[report.figures["section"] == section]
    sites = table[(table["measure"] == measure) & table["lower"].notna()]
    names = {f"{measure}, {label}": label for label in ("mean over sites", "a new site")}
    ends = ends[ends["measure"].isin(names)]
    if len(sites) > MOST_SITES or len(ends) < len(names):
        return None
    rows = pd.concat([sites, ends.assign(site=ends["measure"].map(names))])
    return rows.set_index("site")[["value", "lower", "upper"]].astype(float)
