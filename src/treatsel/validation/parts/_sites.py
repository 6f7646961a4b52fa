"""A model in each site, and pooled over sites as a sample of places where it may be used."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel.metrics.pooling import MetaAnalysis
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import FEWEST_SHOWN, PartResult, row
from treatsel.validation.parts._policies import Policies
from treatsel.validation.studies import MEASURES, SiteData, internal_external_cv, pooled_over, site_figures

FEWEST_SITES = 3  # for a mean over sites with an interval for a new one
SITES, LEFT_OUT = "sites", "sites left out"  # sections, and names of tables
COLUMNS_BY_SITE = ["measure", "site", "value", "lower", "upper", "n", "n_events", "method"]
MIN_EVENTS = 5  # events, and non-events, of a site with figures of its own


def sites(setting: ValidationTask, policies: Policies) -> PartResult:
    """Return the figures of each site, and their random-effects means with prediction intervals."""
    if setting.sites is None or setting.n_sites < 2:
        return PartResult(
            not_estimable=[("Differences between sites", "the cohort names fewer than two sites")]
        )
    arms = list(policies.table.columns)
    data = SiteData(
        outcome=setting.observed,
        received=setting.arms,
        weight=np.ones(len(setting.observed)),
        predictions=setting.by_arm[setting.seen][arms],
        propensities=None if policies.problem else policies.chances,
        good=setting.good,
        min_events=MIN_EVENTS,
        level=setting.level,
    )
    sites, rows = setting.sites.to_numpy(), []
    for site in sorted(set(sites)):
        found, _ = site_figures(
            data, sites == site, site=site, best_arm=policies.gain.comparator_arm, note=""
        )
        rows += found
    return _part(SITES, pd.DataFrame(rows), setting)


def sites_left_out(setting: ValidationTask, policies: Policies, model: Any, n_jobs: int | None) -> PartResult:
    """Return the figures of each site by a model fitted anew to the other sites, and their means."""
    if setting.sites is None or setting.n_sites < 2:
        return PartResult(not_estimable=[("Leave-one-site-out", "the cohort names fewer than two sites")])
    found = internal_external_cv(
        model,
        setting.cohort.X[setting.seen],
        setting.observed,
        setting.sites.to_numpy(),
        propensities=None if policies.problem else policies.chances,
        best_arm=policies.best_arm,
        event_is_good=setting.good,
        min_events=MIN_EVENTS,
        level=setting.level,
        n_jobs=n_jobs,
    )
    return _part(LEFT_OUT, found.figures, setting)


def _part(section: str, figures: pd.DataFrame, setting: ValidationTask) -> PartResult:
    pooled = {measure: pooled_over(figures, measure, setting.level) for measure in MEASURES}
    n, events = len(setting.observed), int(setting.observed.sum())
    enough = {measure: mean for measure, mean in pooled.items() if mean.n_sites >= FEWEST_SITES}
    rows = [line for measure, mean in enough.items() for line in _rows(section, measure, mean, n, events)]
    left = [
        (f"{measure}, mean over sites", f"only {mean.n_sites} sites have an estimate with an interval")
        for measure, mean in pooled.items()
        if measure not in enough
    ]
    tables = {section: _shown(figures), f"{section}: differences": _spread(pooled)}
    return PartResult(figures=rows, tables=tables, not_estimable=left)


def _shown(figures: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of the sites; of those with fewer than ten patients only that they exist."""
    table = figures[COLUMNS_BY_SITE].astype({"n": float, "n_events": float})
    tiny = table["n"] < FEWEST_SHOWN
    table.loc[tiny, ["value", "lower", "upper", "n", "n_events"]] = np.nan
    table.loc[tiny, "method"] = f"not shown: fewer than {FEWEST_SHOWN} patients"
    return table


def _rows(section: str, measure: str, mean: MetaAnalysis, n: int, events: int) -> list[dict[str, Any]]:
    """Return the mean over sites, and the range for a new one, as rows of figures."""
    new = f"prediction interval for a new site, t with {mean.prediction_df} df"
    ends = {
        "mean over sites": (mean.lower, mean.upper, f"{mean.method}; {mean.n_sites} sites"),
        "a new site": (mean.prediction_lower, mean.prediction_upper, new),
    }
    return [
        row(section, f"{measure}, {label}", mean.value, low, high, n=n, n_events=events, method=method)
        for label, (low, high, method) in ends.items()
    ]


def _spread(pooled: dict[str, MetaAnalysis]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "measure": measure,
                "n_sites": mean.n_sites,
                "n_left_out": mean.n_left_out,
                "tau2": mean.tau2,
                "i2": mean.i2,
                "q": mean.q,
                "p_value_q": mean.p_value_q,
                "ideal": MEASURES[measure].ideal,
                "p_better": mean.probability_above(MEASURES[measure].ideal),
            }
            for measure, mean in pooled.items()
        ]
    )
