"""Section: heterogeneity between sites."""

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import p_value, percent
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import (
    ESTIMATE_COLUMNS,
    Shown,
    count,
    figure,
    figures_table,
    shown,
    text,
    three,
)

MAX_SITES = 60  # in a forest plot; more labels would not be legible


def sites(report: ReportData) -> Section:
    """Return performance by site, the mean over sites, and the prediction interval for a new site."""
    return by_site(
        report,
        "sites",
        "Heterogeneity between sites: is performance similar at all sites and at a new one?",
        "Estimates of each site, the mean over sites, and the prediction interval for a new site like these. "
        "Before the model is used at another site, the prediction interval is the relevant result.",
    )


def by_site(report: ReportData, section: str, heading: str, about: str) -> Section:
    """Return the section of estimates by site from tables named after `section`."""
    table, pictures = report.tables[section], []
    for measure, reference in (("within-arm AUC", 0.5), ("calibration slope", 1.0)):
        rows = _forest(report, section, measure)
        if rows is not None:
            label = f"{measure} ({plots.intervals_of(report.level)})"
            axes = plots.estimates(rows, reference=reference, xlabel=label, ax=plots.bare_axes)
            words = f"{measure} by site, with the mean over sites and the prediction interval for a new site."
            pictures.append(figure(axes, f"{section} {measure}", words))
    spread: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "n_sites": ("Sites", count),
        "n_left_out": ("Not pooled", count),
        "tau2": ("Between-site variance", three),
        "i2": ("I²", percent),
        "p_value_q": ("p for heterogeneity", p_value),
    }
    columns: dict[str, tuple[str, Shown]] = {
        "site": ("Site", text),
        **ESTIMATE_COLUMNS,
    }
    return Section(
        heading=heading,
        paragraphs=[about],
        figures=pictures,
        tables=[
            figures_table(report, [section], "Means over sites, and prediction intervals for a new site."),
            shown(report.tables[f"{section}: heterogeneity"], spread, "Heterogeneity between sites."),
            shown(table, columns, "Estimates by site."),
        ],
        note="Random-effects meta-analysis by REML, Hartung-Knapp intervals, prediction interval by the "
        "parametric bootstrap of Nagashima et al. 2019. Debray et al. 2017; Steyerberg & Harrell 2016.",
    )


def _forest(report: ReportData, section: str, measure: str) -> pd.DataFrame | None:
    """Return the rows of a forest plot, or None if there is no mean or there are too many sites."""
    table, ends = report.tables[section], report.figures[report.figures["section"] == section]
    sites = table[(table["measure"] == measure) & table["lower"].notna()]
    names = {f"{measure}, {label}": label for label in ("mean over sites", "new site")}
    ends = ends[ends["measure"].isin(names)]
    if len(sites) > MAX_SITES or len(ends) < len(names):
        return None
    rows = pd.concat([sites, ends.assign(site=ends["measure"].map(names))])
    return rows.set_index("site")[["value", "lower", "upper"]].astype(float)
