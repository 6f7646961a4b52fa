"""Part: performance at each site, pooled over sites, and the prediction interval for a new site."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._disclosure import SMALLEST_GROUP, suppression
from treatsel._measures import BY_LABEL
from treatsel._stats.weights import check_sample_weight
from treatsel.metrics.pooling import MetaAnalysis
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import MIN_REPORTED, PartResult, row
from treatsel.validation.studies import SITE_MEASURES, SiteData, pooled_over, site_figures

MIN_SITES = 3  # fewer give no prediction interval for a new site
SECTION = "sites"
COLUMNS_BY_SITE = ["measure", "site", "value", "lower", "upper", "n", "n_events", "method"]
OTHERS = "otherwise the figures of a smaller site would follow from the total"
MIN_EVENTS = 5  # events, and non-events, at a site: with fewer, Wald intervals and standard errors break down


def sites(task: ValidationTask, policies: Policies) -> PartResult:
    """Return the estimates of each site, and their random-effects means with prediction intervals."""
    if task.sites is None or task.n_sites < 2:
        return PartResult(
            not_estimable=[("Heterogeneity between sites", "fewer than two sites are recorded")]
        )
    arms = list(policies.table.columns)
    data = SiteData(
        outcome=task.observed,
        received=task.arms,
        weights=check_sample_weight(n=len(task.observed), **({"sample_weight": None} | task.weights())),
        predictions=task.by_arm[task.seen][arms],
        propensity=None if policies.problem else policies.propensity,
        good=task.good,
        recommended=None if task.given is None else policies.recommended,
        min_events=MIN_EVENTS,
        level=task.level,
    )
    sites, rows, best = task.sites.to_numpy(), [], policies.best_single_arm(task.seen)
    for site in sorted(set(sites)):
        here = sites == site
        # in cross-validation all patients of a site are in one fold, so they have the same comparator
        comparator = best[here].value_counts().index[0] if isinstance(best, pd.Series) else best
        rows += site_figures(data, here, site=site, comparator=comparator, note="")[0]
    return pooled_part(SECTION, pd.DataFrame(rows), task)


def pooled_part(section: str, figures: pd.DataFrame, task: ValidationTask) -> PartResult:
    """Return the estimates of sites, their means and their heterogeneity as the part of a section."""
    pooled = {measure: pooled_over(figures, measure, task.level) for measure in SITE_MEASURES}
    n, events = len(task.observed), int(task.observed.sum())
    enough = {measure: mean for measure, mean in pooled.items() if mean.n_sites >= MIN_SITES}
    rows = [line for measure, mean in enough.items() for line in _rows(section, measure, mean, n, events)]
    left = [
        (
            f"{measure}, mean over sites",
            f"sites with an estimate and an interval: {mean.n_sites}; at least {MIN_SITES} are needed",
        )
        for measure, mean in pooled.items()
        if measure not in enough
    ]
    tables = {section: _disclosed(figures), f"{section}: heterogeneity": _heterogeneity(pooled)}
    return PartResult(figures=rows, tables=tables, not_estimable=left)


def _disclosed(figures: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates of the sites; for a site below the reporting limit, its name only.

    A site of fewer than 5 patients is numbered instead of named: its name may be any text of a patient.
    The totals are known. Further sites are therefore not reported, the smallest first, until at least two
    sites with at least ten patients, with and without the event, are left out together.
    """
    table = figures[COLUMNS_BY_SITE].astype({"n": float, "n_events": float})
    sites = table.drop_duplicates("site").set_index("site")
    tiny = (sites["n"] < MIN_REPORTED).to_numpy()
    hidden = suppression(sites["n"], primary=tiny, events=sites["n_events"].to_numpy())
    for few, why in ((tiny, f"fewer than {MIN_REPORTED} patients"), (hidden & ~tiny, OTHERS)):
        rows = table["site"].isin(sites.index[few])
        table.loc[rows, ["value", "lower", "upper", "n", "n_events"]] = np.nan
        table.loc[rows, "method"] = f"not reported: {why}"
    unnamed = sites.index[(sites["n"] < SMALLEST_GROUP).to_numpy()]
    numbered = {site: f"site {k} below {SMALLEST_GROUP} patients" for k, site in enumerate(unnamed, 1)}
    table["site"] = [numbered.get(site, site) for site in table["site"]]
    return table


def _rows(section: str, measure: str, mean: MetaAnalysis, n: int, events: int) -> list[dict[str, Any]]:
    """Return the mean over sites, and the prediction interval for a new site, as rows of figures."""
    new = f"prediction interval for a new site, {mean.prediction_method}"
    ends = {
        "mean over sites": (mean.lower, mean.upper, f"{mean.method}; {mean.n_sites} sites"),
        "new site": (mean.prediction_lower, mean.prediction_upper, new),
    }
    return [
        row(section, f"{measure}, {label}", mean.value, low, high, n=n, n_events=events, method=method)
        for label, (low, high, method) in ends.items()
    ]


def _heterogeneity(pooled: dict[str, MetaAnalysis]) -> pd.DataFrame:
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
                "reference": BY_LABEL[measure].reference,
                "probability_above": mean.probability_above(BY_LABEL[measure].reference),
            }
            for measure, mean in pooled.items()
        ]
    )
