"""The figures of one site in internal-external cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit

from treatsel._checks import FloatArray
from treatsel._stats.by_arm_tables import cells_of, recommended_arms
from treatsel._stats.estimate import not_estimable
from treatsel.metrics import (
    Estimate,
    Gain,
    aipw_scores,
    calibration_in_the_large,
    calibration_slope,
    gain_over_best_arm,
    observed_expected_ratio,
    roc_auc,
    within_arm_auc,
)
from treatsel.metrics.pooling import MetaAnalysis, Scale, random_effects_meta_analysis

Mask = npt.NDArray[np.bool_]


class Measure(NamedTuple):
    """Scale on which a measure is pooled, and its ideal (or chance) value."""

    scale: Scale
    ideal: float


MEASURES = {
    "AUC": Measure("logit", 0.5),
    "within-arm AUC": Measure("logit", 0.5),
    "calibration in the large": Measure("identity", 0.0),
    "calibration slope": Measure("identity", 1.0),
    "observed / expected": Measure("log", 1.0),
    "gain over the best single arm": Measure("identity", 0.0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteData:
    """All patients with their held-out predictions: what the figures of every site are made of."""

    outcome: FloatArray
    received: npt.NDArray[np.object_]
    weight: FloatArray
    predictions: pd.DataFrame
    propensities: pd.DataFrame | None
    good: bool
    min_events: int
    level: float

    @cached_property
    def own(self) -> FloatArray:
        """Held-out prediction for the received arm."""
        return cells_of("received", self.received, self.predictions)

    @cached_property
    def benefit(self) -> FloatArray:
        """The outcome with 1 for good."""
        return self.outcome if self.good else 1 - self.outcome

    def best_arm(self, rows: Mask) -> Any:
        """Return the arm with the best weighted outcome (Hajek) in some patients; None without chances."""
        if self.propensities is None:
            return None
        rows = rows & ~np.isnan(self.outcome) & (self.weight > 0)
        means = {}
        for arm in self.propensities.columns:
            mine = rows & (self.received == arm)
            if mine.any():
                weight = self.weight[mine] / self.propensities[arm].to_numpy()[mine]
                means[arm] = float(weight @ self.benefit[mine] / weight.sum())
        return max(means, key=lambda arm: means[arm]) if means else None


def site_figures(
    data: SiteData, here: Mask, *, site: Any, best_arm: Any, note: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row per measure, and a row about the site."""
    seen = here & ~np.isnan(data.outcome)
    judged = seen & ~np.isnan(data.own) & (data.weight > 0)
    counts = {"n": _count(data, judged), "n_events": _count(data, judged & (data.outcome == 1))}
    rows = [
        {"measure": measure, "site": site, **_row(found), **counts, "pooled": False}
        for measure, found in _figures(data, judged, best_arm, counts).items()
    ]
    about = {
        "site": site,
        "n": _count(data, here),
        "n_unobserved": _count(data, here & np.isnan(data.outcome)),
        "n_unpredicted": _count(data, here & np.isnan(data.own)),
        "n_events": _count(data, seen & (data.outcome == 1)),
        "arms": tuple(sorted(set(data.received[here]), key=str)),
        "best_arm": best_arm,
        "note": note,
    }
    return rows, about


def _figures(
    data: SiteData, judged: Mask, best_arm: Any, counts: dict[str, int]
) -> dict[str, Estimate | Gain]:
    n, events = counts.values()
    options: dict[str, Any] = {**counts, "level": data.level}
    if not n:
        reason = "no patient has both an outcome and a held-out prediction for the received arm"
        return dict.fromkeys(MEASURES, not_estimable(reason, **options))
    if min(events, n - events) < data.min_events and data.min_events > 1:
        reason = f"{events} events and {n - events} non-events; min_events is {data.min_events}"
        return dict.fromkeys(MEASURES, not_estimable(reason, **options))
    y, p, arms = data.outcome[judged], data.own[judged], data.received[judged]
    more: dict[str, Any] = {"sample_weight": data.weight[judged], "level": data.level}
    plain: dict[str, Callable[..., Estimate]] = {
        "calibration in the large": calibration_in_the_large,
        "calibration slope": calibration_slope,
        "observed / expected": observed_expected_ratio,
    }
    return {
        "AUC": roc_auc(y, p, interval="logit", **more),
        "within-arm AUC": within_arm_auc(y, p, arms, interval="logit", **more),
        **{measure: function(y, p, **more) for measure, function in plain.items()},
        "gain over the best single arm": _gain(data, judged, best_arm, options),
    }


def _gain(data: SiteData, judged: Mask, best_arm: Any, options: dict[str, Any]) -> Estimate | Gain:
    """Return the gain among the arms that were given here and that the refit knows."""
    if data.propensities is None:
        return not_estimable("it needs propensities", **options)
    given = set(data.received[judged])
    arms = [arm for arm in data.predictions.columns if arm in given]
    if len(arms) < 2:
        return not_estimable(f"every patient received {arms[0]!r}", **options)
    if best_arm not in arms:
        return not_estimable(f"the best single arm, {best_arm!r}, was not given here", **options)
    predicted, chances = data.predictions.loc[judged, arms], data.propensities.loc[judged, arms]
    table = predicted if data.good else 1 - predicted
    chances = chances.div(chances.sum(axis=1), axis=0)
    scores = aipw_scores(data.benefit[judged], data.received[judged], table, chances)
    recommended = recommended_arms(table, best_arm)
    weight = data.weight[judged]
    return gain_over_best_arm(
        scores, recommended, comparator=best_arm, sample_weight=weight, level=data.level
    )


def _row(found: Estimate | Gain) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("value", "lower", "upper", "se", "method")}


def _count(data: SiteData, rows: Mask) -> int:
    return round(float(data.weight[rows].sum()))


def pooled_over(figures: pd.DataFrame, measure: str, level: float) -> MetaAnalysis:
    """Pool one measure over sites, on its own scale."""
    rows, scale = figures[figures["measure"] == measure], MEASURES[measure].scale
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {"logit": logit, "log": np.log, "identity": np.asarray}[scale](rows["value"].to_numpy())
    return random_effects_meta_analysis(values, rows["se"], sites=rows["site"], scale=scale, level=level)
