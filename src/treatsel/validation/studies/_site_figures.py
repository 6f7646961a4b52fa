"""Estimates of one site, and their pooling over sites."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, count_of
from treatsel._measures import BY_LABEL, MEASURES, labels_of
from treatsel._stats.by_arm_tables import cells_of, completed_shares, recommended_shares
from treatsel._stats.estimate import not_estimable
from treatsel._stats.intervals import two_sided_p, wald
from treatsel._stats.weights import Weights
from treatsel.metrics import (
    FUNCTIONS,
    Estimate,
    Gain,
    aipw_scores,
    gain_over_best_arm,
    roc_auc,
    within_arm_auc,
)
from treatsel.metrics.pooling import MetaAnalysis, on_scale, random_effects_meta_analysis
from treatsel.validation.studies._direction import NOT_STATED

MIN_PERIODS = 3  # a line through two has no residual
Mask = npt.NDArray[np.bool_]


AUC, WITHIN, GAIN = (MEASURES[key].label for key in ("auc", "within_arm_auc", "gain"))
CALIBRATION = ("calibration_in_the_large", "calibration_slope", "observed_expected")
SITE_MEASURES = (AUC, WITHIN, *labels_of(*CALIBRATION).values(), GAIN)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SiteData:
    """Outcomes, arms, predictions and propensities of all patients, from which sites are evaluated.

    `recommended`: shares of the arms in what the rule in use recommends; None: the most favorable arm.
    """

    outcome: FloatArray
    received: npt.NDArray[np.object_]
    weights: Weights
    predictions: pd.DataFrame
    propensity: pd.DataFrame | None
    good: bool | None
    min_events: int
    level: float
    recommended: pd.DataFrame | None = None

    @property
    def weight(self) -> FloatArray:
        """Weight of each patient."""
        return self.weights.values

    @cached_property
    def own(self) -> FloatArray:
        """Prediction for the received arm."""
        return cells_of("received", self.received, self.predictions)

    @cached_property
    def benefit(self) -> FloatArray:
        """Outcome coded so that 1 is good."""
        return self.outcome if self.good else 1 - self.outcome

    def best_arm(self, rows: Mask) -> Any:
        """Return the arm with the best weighted outcome (Hajek) in some patients; None without propensity."""
        if self.propensity is None:
            return None
        rows = rows & ~np.isnan(self.outcome) & (self.weight > 0)
        means = {}
        for arm in self.propensity.columns:
            mine = rows & (self.received == arm)
            if mine.any():
                weight = self.weight[mine] / self.propensity[arm].to_numpy()[mine]
                means[arm] = float(weight @ self.benefit[mine] / weight.sum())
        return max(means, key=lambda arm: means[arm]) if means else None


def site_figures(
    data: SiteData, here: Mask, *, site: Any, comparator: Any, note: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row per measure, and a row that describes the site."""
    seen = here & ~np.isnan(data.outcome)
    evaluated = seen & ~np.isnan(data.own) & (data.weight > 0)
    counts = {"n": _count(data, evaluated), "n_events": _count(data, evaluated & (data.outcome == 1))}
    rows = [
        {"measure": measure, "site": site, **_row(found), **counts, "pooled": False}
        for measure, found in _figures(data, evaluated, comparator, counts).items()
    ]
    about = {
        "site": site,
        "n": _count(data, here),
        "n_unobserved": _count(data, here & np.isnan(data.outcome)),
        "n_unpredicted": _count(data, here & np.isnan(data.own)),
        "n_events": _count(data, seen & (data.outcome == 1)),
        "arms": tuple(sorted(set(data.received[here]), key=str)),
        "comparator": comparator,
        "note": note,
    }
    return rows, about


def _figures(
    data: SiteData, evaluated: Mask, comparator: Any, counts: dict[str, int]
) -> dict[str, Estimate | Gain]:
    n, events = counts.values()
    options: dict[str, Any] = {**counts, "level": data.level}
    if not n:
        reason = "no patient has both an outcome and a held-out prediction for the received arm"
        return dict.fromkeys(SITE_MEASURES, not_estimable(reason, **options))
    if min(events, n - events) < data.min_events and data.min_events > 1:
        counts_here = f"{count_of(events, 'event')} and {count_of(n - events, 'non-event')}"
        reason = f"{counts_here}; at least {data.min_events} of each are needed"
        return dict.fromkeys(SITE_MEASURES, not_estimable(reason, **options))
    y, p, arms = data.outcome[evaluated], data.own[evaluated], data.received[evaluated]
    more: dict[str, Any] = {"level": data.level, **_weighted(data, evaluated)}
    return {
        AUC: roc_auc(y, p, interval="logit", **more),
        WITHIN: within_arm_auc(y, p, arms, interval="logit", **more),
        **{MEASURES[key].label: FUNCTIONS[key](y, p, **more) for key in CALIBRATION},
        GAIN: _gain(data, evaluated, comparator, options),
    }


def _gain(data: SiteData, evaluated: Mask, comparator: Any, options: dict[str, Any]) -> Estimate | Gain:
    """Return the gain among the arms received at the site that the model was fitted to."""
    if data.good is None:
        return not_estimable(NOT_STATED, **options)
    if data.propensity is None:
        return not_estimable("the gain requires propensity, the probability of each arm", **options)
    given = set(data.received[evaluated])
    arms = [arm for arm in data.predictions.columns if arm in given]
    if len(arms) < 2:
        return not_estimable(f"every patient received {arms[0]!r}", **options)
    if comparator not in arms:
        return not_estimable(
            f"no patient of the site received the best single arm, {comparator!r}", **options
        )
    predicted, propensity = data.predictions.loc[evaluated, arms], data.propensity.loc[evaluated, arms]
    table = predicted if data.good else 1 - predicted
    propensity = propensity.div(propensity.sum(axis=1), axis=0)
    scores = aipw_scores(data.benefit[evaluated], data.received[evaluated], table, propensity)
    if data.recommended is None:
        recommended = recommended_shares(table, comparator)
    else:  # where the site did not give the arm, patients keep the one that is given now
        recommended, _ = completed_shares(data.recommended.loc[evaluated, arms], propensity)
    weighted = _weighted(data, evaluated)
    return gain_over_best_arm(scores, recommended, comparator=comparator, level=data.level, **weighted)


def _weighted(data: SiteData, rows: Mask) -> dict[str, Any]:
    return {"sample_weight": data.weight[rows], "weights_are": data.weights.kind}


def _row(found: Estimate | Gain) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("value", "lower", "upper", "se", "method")}


def _count(data: SiteData, rows: Mask) -> int:
    return data.weights.count(rows.astype(float))


def pooled_over(figures: pd.DataFrame, measure: str, level: float) -> MetaAnalysis:
    """Pool one measure over sites, on its own scale."""
    rows, values = _scaled(figures, measure)
    scale = BY_LABEL[measure].scale
    return random_effects_meta_analysis(values, rows["se"], sites=rows["site"], scale=scale, level=level)


def drift_of(figures: pd.DataFrame, measure: str, level: float) -> dict[str, Any]:
    """Return the slope of one measure over periods, in the order of their rows, on its scale of pooling.

    Random-effects meta-regression by the method of moments, with the standard error of Knapp & Hartung
    (2003), Statistics in Medicine 22(17), 2693-2710, doi:10.1002/sim.1482, never below the ordinary one.
    """
    rows, values = _scaled(figures, measure)
    se = rows["se"].to_numpy(dtype=float)
    used = np.isfinite(values) & np.isfinite(se) & (se > 0)
    k = int(used.sum())
    nothing = dict.fromkeys(("slope", "lower", "upper", "p_value"), float("nan"))
    if k < MIN_PERIODS:
        return {"measure": measure, **nothing, "n_periods": k}
    design = np.column_stack([np.ones(k), np.flatnonzero(used)])
    y, v = values[used], se[used] ** 2
    bread, residual = _weighted_line(design, y, 1 / v)
    weight = 1 / v
    expected = k - 2  # of the weighted residuals, without variance between periods
    spread = weight.sum() - np.trace(bread @ (design.T * weight**2) @ design)
    tau2 = max(0.0, float((weight @ residual**2 - expected) / spread))
    weight = 1 / (v + tau2)
    bread, residual = _weighted_line(design, y, weight)
    slope = float((bread @ (design.T * weight) @ y)[1])
    excess = max(1.0, float(weight @ residual**2 / expected))
    error = float(np.sqrt(excess * bread[1, 1]))
    limits = wald(slope, error, level, df=k - 2)
    p_value = two_sided_p(slope, error, df=k - 2)
    ends = {"slope": slope, "lower": limits.lower, "upper": limits.upper, "p_value": p_value}
    return {"measure": measure, **ends, "n_periods": k}


def _weighted_line(design: Any, y: Any, weight: Any) -> tuple[Any, Any]:
    """Return the inverse of the weighted cross product, and the residuals of the weighted regression."""
    bread = np.linalg.inv((design.T * weight) @ design)
    return bread, y - design @ (bread @ (design.T * weight) @ y)


def _scaled(figures: pd.DataFrame, measure: str) -> tuple[pd.DataFrame, FloatArray]:
    """Return the rows of a measure, and its values on the scale of pooling."""
    rows = figures[figures["measure"] == measure]
    return rows, on_scale(rows["value"], BY_LABEL[measure].scale)
