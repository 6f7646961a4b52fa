"""Decision curve: net benefit over a range of thresholds, with treat-all and treat-none."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_level
from treatsel._reporting.plots import curves, intervals_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.utility._net_benefit import NEEDS_BOTH
from treatsel.metrics.utility._threshold_counts import (
    ALL,
    NONE,
    Table,
    check_harm,
    check_models,
    check_prevalence,
    check_thresholds,
    net_benefits,
    percentile_limits,
)

NO_LIMITS = "more than one resample in ten has only one class of outcome; a known prevalence needs both"
TREAT = "rely on the arm when the predicted probability of the good outcome is at least the threshold"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DecisionCurve(Summarized):
    """Net benefit of models, of treat all and of treat none over thresholds.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns strategy; threshold; value, lower, upper (net benefit, per patient); true_positive and
        false_positive (shares of all patients); avoided, avoided_lower, avoided_upper (net interventions
        avoided against treat all, per patient; NaN at threshold 0).
    differences : pandas.DataFrame
        Columns strategy, comparator, threshold, value, lower, upper (net benefit of the first minus that
        of the second), n_discordant and n_events_differ (numbers of patients, and of patients with
        outcome 1, whom the two strategies treat differently); for each model against the later models, treat
        all and treat none. All intervals come from the same resamples.
    prevalence : float
        Proportion with outcome 1 among these patients, or as given.
    n, n_events : int
        Number of patients, and of patients with outcome 1.
    level : float
        Confidence level of all limits, which are pointwise.
    method : str
        How the intervals were computed, or why there are none.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    prevalence: float
    n: int
    n_events: int
    level: float
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return the curves."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, treat: str = TREAT, **kwargs: Any) -> Any:
        """Draw the curves, with the meaning of "treat" below the axis.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        treat : str
            What "treat" means.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines; bands have the same color.

        Returns
        -------
        matplotlib Axes
        """
        ax = curves(
            self.table,
            x="threshold",
            by="strategy",
            xlabel="Threshold",
            ylabel="Net benefit, per patient",
            band=intervals_of(self.level),
            note=f'"Treat": {treat}',
            ax=ax,
            **kwargs,
        )
        highest = float(self.table[["value", "upper"]].max().max())
        top = max(self.prevalence, highest if math.isfinite(highest) else 0.0, 0.05)
        ax.set_ylim(-0.15 * top, 1.05 * top)  # "treat all" falls without limit
        return ax


def decision_curve(
    y_true: npt.ArrayLike,
    y_prob: Any,
    *,
    thresholds: npt.ArrayLike | None = None,
    prevalence: float | None = None,
    harm: float | Mapping[str, float] = 0.0,
    n_resamples: int = 500,
    random_state: int = 0,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> DecisionCurve:
    """Decision curves: net benefit of acting on the predictions over a range of thresholds.

    Outcome 1 is a good outcome. To "treat" is to **rely on the arm** (offer it, continue it) for the
    patients whose predicted probability of the good outcome is at least the threshold; treat all relies on
    it for all patients, treat none for no patient. The threshold is also the exchange rate: at 0.3, relying
    on the arm without a good outcome costs 0.3 / 0.7 of the value of one good outcome.

    Pass `1 - y_true` and `1 - y_prob` where the decision is to do *more* for patients with a low probability
    of the good outcome (step up, add a treatment, monitor closely). "Treat" then means to do so where the
    predicted probability of the **bad** outcome is at least the threshold; pass that text to `plot`. The two
    curves answer different questions, and neither follows from the other at the same threshold.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,), or mapping or DataFrame of several
        Predicted probability of outcome 1, in [0, 1], of one model (then called "model") or of several by
        name.
    thresholds : array-like of shape (n_thresholds,), optional
        Increasing, in [0, 1); 0.01 to 0.99 by default. A prediction of at least the threshold is positive,
        with a tolerance of 1e-12 for rounding.
    prevalence : float, optional
        Known prevalence of outcome 1 in the population, if these patients were sampled by outcome.
    harm : float or mapping of model to float, default 0
        Cost of obtaining the prediction, in true positives per patient; subtracted for the models only.
    n_resamples : int, default 500
        Number of resamples for the intervals; 0 for none.
    random_state : int, default 0
        Seed of the resamples. The order of the rows does not matter.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient; whole clusters are resampled.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), which a resampled patient keeps; all counts are then numbers of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    DecisionCurve
        Net benefit in true positives per patient; higher is better. At threshold 0 the net benefit of
        every model without harm equals the prevalence. Pointwise percentile intervals; that of a difference
        is too short where fewer than about ten patients with either outcome are treated differently, and has
        zero width where none are.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], thresholds do not
        increase within [0, 1), or an option is out of its range.

    References
    ----------
    Vickers & Elkin (2006), Medical Decision Making 26(6), 565-574. doi:10.1177/0272989X06295361
    Vickers et al. (2008), BMC Medical Informatics and Decision Making 8, 53. doi:10.1186/1472-6947-8-53

    Examples
    --------
    >>> curve = decision_curve([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.7], thresholds=[0.2, 0.5])
    >>> table = curve.to_frame()
    >>> table.pivot(index="threshold", columns="strategy", values="value").round(3).to_dict("list")
    {'model': [0.417, 0.333], 'treat all': [0.375, 0.0], 'treat none': [0.0, 0.0]}
    """
    models, grid, known = check_models(y_prob), check_thresholds(thresholds), check_prevalence(prevalence)
    costs, level = check_harm(harm, list(models)), check_level(level)
    weights: dict[str, Any] = {"sample_weight": sample_weight, "weights_are": weights_are}
    table = Table.of(y_true, models, clusters=clusters, thresholds=grid, **weights)
    rates = table.rates(table.weight, known)
    value = net_benefits(rates, grid, costs)
    draws = np.empty((0, *value.shape))
    if n_resamples:
        resamples = table.resamples(n_resamples=n_resamples, random_state=random_state)
        draws = np.array([net_benefits(table.rates(weight, known), grid, costs) for weight in resamples])
    drawn = _Drawn(names=[*models, ALL, NONE], counts=table, value=value, draws=draws, level=level)
    laid_out = drawn.curves(rates)
    return DecisionCurve(
        table=laid_out,
        differences=drawn.differences(),
        prevalence=table.events / table.total if known is None else known,
        n=round(float(table.patients.sum())),
        n_events=round(float(table.patients @ table.outcome)),
        level=level,
        method=_described(laid_out, table.drawn(n_resamples) if n_resamples else None),
    )


def _described(table: pd.DataFrame, drawn: str | None) -> str:
    if table["value"].isna().any():
        return f"not estimable: {NEEDS_BOTH}"
    if drawn is None:
        return "no intervals requested"
    return f"percentiles of {drawn}" if table["lower"].notna().all() else f"no interval: {NO_LIMITS}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Drawn:
    """Net benefits (n_strategies, n_thresholds) and their resamples, arranged as tables."""

    names: list[str]
    counts: Table
    value: FloatArray
    draws: FloatArray
    level: float

    def curves(self, rates: FloatArray) -> pd.DataFrame:
        """Return net benefit, shares and interventions avoided of each strategy."""
        lower, upper = percentile_limits(self.draws, self.level)
        thresholds = self.counts.thresholds
        per_avoided = (1 - thresholds) / np.where(thresholds > 0, thresholds, np.nan)
        saved = (self.value - self.value[-2]) * per_avoided
        saved_lower, saved_upper = (
            percentile_limits(self.draws - self.draws[:, -2:-1], self.level) * per_avoided
        )
        shares = np.concatenate([rates, np.zeros((1, *rates.shape[1:]))])
        columns = {"value": self.value, "lower": lower, "upper": upper}
        columns |= {"true_positive": shares[:, 1], "false_positive": shares[:, 0]}
        columns |= {"avoided": saved, "avoided_lower": saved_lower, "avoided_upper": saved_upper}
        each = {name: values.ravel() for name, values in columns.items()}
        return pd.DataFrame(self._keys("strategy", self.names) | each)

    def differences(self) -> pd.DataFrame:
        """Return the differences of each model from treat all, treat none and the models after it."""
        n_models = len(self.names) - 2
        pairs = [pair for pair in combinations(range(len(self.names)), 2) if pair[0] < n_models]
        first, second = (list(side) for side in zip(*pairs, strict=True))
        lower, upper = percentile_limits(self.draws[:, first] - self.draws[:, second], self.level)
        differ = np.stack([self.counts.differing(*pair) for pair in pairs], axis=1)
        columns = {"value": self.value[first] - self.value[second], "lower": lower, "upper": upper}
        columns |= {"n_discordant": differ[0], "n_events_differ": differ[1]}
        keys = self._keys("strategy", [self.names[i] for i in first])
        others = self._keys("comparator", [self.names[i] for i in second])
        frame = pd.DataFrame(keys | others | {name: v.ravel() for name, v in columns.items()})
        return frame[["strategy", "comparator", "threshold", *columns]]

    def _keys(self, column: str, names: list[str]) -> dict[str, Any]:
        thresholds = self.counts.thresholds
        repeated = np.repeat(np.array(names, dtype=object), len(thresholds))
        return {column: repeated, "threshold": np.tile(thresholds, len(names))}
