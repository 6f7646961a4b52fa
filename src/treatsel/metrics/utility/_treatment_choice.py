"""Net benefit of treatment choice; public through `treatsel.metrics.utility`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_by_arm, check_choice, check_vector
from treatsel._reporting.plots import curves, intervals_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import check_table
from treatsel._stats.clustered_means import Units, check_units, mean_of
from treatsel._stats.ties import best_shares
from treatsel._stats.weights import Weights, WeightsAre
from treatsel.errors import InputError
from treatsel.metrics.utility._threshold_counts import check_grid


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TreatmentChoiceCurve(Summarized):
    """Net benefit of choosing arms by the model, and of each arm for all patients, over thresholds.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns strategy ("model" or "<arm> for all patients"), arm (None for the model), threshold, value,
        lower, upper, se: outcome rate minus that under the comparator for all patients, minus the mean cost.
    differences : pandas.DataFrame
        Columns strategy ("model"), comparator, arm, threshold, value, lower, upper, se: the model
        minus each arm for all patients.
    shares : pandas.DataFrame
        Columns arm, threshold, share (proportion of patients for whom the model chooses the arm).
    comparator : label
        The arm with cost 0.
    costs : dict
        Cost of each arm at threshold 1.
    n : int
        Patients.
    n_clusters : int or None
        Number of clusters; None if the patients count as independent.
    level : float
        Confidence level of all limits, which are pointwise.
    method : str
        How the intervals were computed, or why there are none.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    shares: pd.DataFrame
    comparator: Any
    costs: dict[Any, float]
    n: int
    n_clusters: int | None
    level: float
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return the curves."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the curves of the model, with its band, and of each arm for all patients.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines; bands have the same color.

        Returns
        -------
        matplotlib Axes
        """
        meaning = f"increase in probability of outcome 1 over {self.comparator} that justifies another arm"
        table = self.table.copy()
        table.loc[table["strategy"] != "model", ["lower", "upper"]] = float("nan")  # bands would overlap
        ylabel = f"Net benefit over {self.comparator} for all patients"
        band = f"band of the model: {intervals_of(self.level)}"
        labels = {"xlabel": "Threshold", "ylabel": ylabel, "band": band, "note": f"({meaning})"}
        return curves(table, x="threshold", by="strategy", reference=0, ax=ax, **labels, **kwargs)


def treatment_choice_net_benefit(
    scores: pd.DataFrame,
    by_arm: pd.DataFrame,
    *,
    comparator: Any = None,
    thresholds: npt.ArrayLike | None = None,
    costs: Mapping[Any, float] | None = None,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> TreatmentChoiceCurve:
    """Net benefit of choosing an arm other than the comparator only where its benefit exceeds its cost.

    At threshold t an arm is preferable to the comparator if it raises the probability of the outcome by more
    than t (times its entry in `costs`), because it is more expensive, scarcer or less tolerable. The model
    chooses for each patient the arm with the largest predicted increase minus this cost. Its net benefit is
    the expected outcome rate, minus the mean cost, minus the outcome rate with the comparator for all
    patients.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm. The model chooses by these predictions; ties go
        to the comparator and then to the first column. Differences are compared without rounding.
    comparator : label, optional
        The arm with cost 0; the first column of `by_arm` by default.
    thresholds : array-like of shape (n_thresholds,), optional
        Increasing, 0 or more, as differences of probabilities; 0 to 0.2 by default.
    costs : mapping of arm to float, optional
        Cost of an arm as a multiple of the threshold: 1 for every arm that is not named, 0 for the
        comparator. For arm-specific thresholds, give them here with `thresholds=[1]`.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for cluster-robust standard errors with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    TreatmentChoiceCurve
        Differences of proportions; higher is better, 0 is the comparator for all patients. Wald intervals
        that treat scores and predictions as fixed.

    Raises
    ------
    InputError
        If lengths, patients or arms differ, there is only one arm, a score is not finite, or thresholds do
        not increase.

    References
    ----------
    Chalkou et al. (2023), Medical Decision Making 43(3), 337-349. doi:10.1177/0272989X221143058
    Vickers, Kattan & Sargent (2007), Trials 8, 14. doi:10.1186/1745-6215-8-14

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> by_arm = pd.DataFrame({"CBT": [0.6, 0.3, 0.6, 0.5], "SSRI": [0.4, 0.5, 0.5, 0.52]})
    >>> curve = treatment_choice_net_benefit(scores, by_arm, thresholds=[0, 0.05])
    >>> curve.to_frame().query("strategy == 'model'")["value"].round(3).tolist()
    [0.275, 0.137]
    """
    predicted, table = check_by_arm("by_arm", by_arm), check_table("scores", scores)
    if set(predicted.columns) != set(table.columns) or len(table.columns) < 2:
        raise InputError(
            f"scores has the arms {list(table.columns)}, by_arm has {list(predicted.columns)}. Both need the "
            "same arms, two or more."
        )
    grid = check_grid(np.arange(21) / 100 if thresholds is None else thresholds)
    units = check_units(sample_weight, clusters, level, weights_are=weights_are, scores=scores, by_arm=by_arm)
    first = predicted.columns[0] if comparator is None else comparator
    check_choice("comparator", first, predicted.columns)
    arms = [first, *(arm for arm in predicted.columns if arm != first)]
    cost = _costs(costs, arms)
    chooser = predicted[arms].to_numpy(dtype=float)
    gained = table[arms].to_numpy(dtype=float)
    chooser, gained = chooser - chooser[:, :1], gained - gained[:, :1]
    figures = _averaging(units)
    curve, differences, shares = [], [], []
    for threshold in grid:
        paid = gained - threshold * cost
        # exact, as in the published curves: a threshold is a point of a grid, not a computed figure
        choice = best_shares(chooser - threshold * cost, 0, tolerance=0.0)
        model = (choice * paid).sum(axis=1)
        at = {"threshold": threshold}
        curve.append({"strategy": "model", "arm": None} | at | figures(model))
        for column, arm in enumerate(arms):
            name, keys = f"{arm} for all patients", {"arm": arm} | at
            curve.append({"strategy": name} | keys | figures(paid[:, column]))
            apart = figures(model - paid[:, column])
            differences.append({"strategy": "model", "comparator": name} | keys | apart)
            shares.append(keys | {"share": float(units.weight @ choice[:, column] / units.weight.sum())})
    return TreatmentChoiceCurve(
        table=_by_strategy(curve, "strategy"),
        differences=_by_strategy(differences, "comparator"),
        shares=_by_strategy(shares, "arm"),
        comparator=first,
        costs=dict(zip(arms, cost.tolist(), strict=True)),
        n=units.n,
        n_clusters=units.n_clusters,
        level=units.level,
        method=mean_of(gained[:, -1], units).method,
    )


def _costs(costs: Mapping[Any, float] | None, arms: list[Any]) -> FloatArray:
    given = dict(costs or {})
    if unknown := [arm for arm in given if arm not in arms]:
        raise InputError(f"costs names the arms {unknown}; the arms are {arms}.")
    if given.setdefault(arms[0], 0.0):
        raise InputError(f"costs gives the comparator {arms[0]!r} a cost; set it to 0 or leave it out.")
    return check_vector("costs", [given.get(arm, 1.0) for arm in arms])


def _averaging(units: Units) -> Callable[[FloatArray], dict[str, float]]:
    """Return a function that computes the mean of one value per patient, with its interval.

    With clusters it averages within clusters first, which gives the same result from far fewer numbers.
    """
    if units.codes is None:
        return lambda values: _figures(values, units)
    codes = np.unique(units.codes, return_inverse=True)[1]
    weight = np.bincount(codes, weights=units.weight).astype(float)
    codes_of_clusters = np.arange(len(weight), dtype=float)
    clusters = Units(weights=Weights(values=weight), codes=codes_of_clusters, level=units.level)
    divisor = np.where(weight > 0, weight, 1)
    return lambda values: _figures(np.bincount(codes, weights=units.weight * values) / divisor, clusters)


def _figures(values: FloatArray, units: Units) -> dict[str, float]:
    mean = mean_of(values, units)
    return {"value": mean.value, "lower": mean.limits.lower, "upper": mean.limits.upper, "se": mean.se}


def _by_strategy(rows: list[dict[str, Any]], column: str) -> pd.DataFrame:
    """Return the rows grouped by strategy, each group in the order of the thresholds."""
    table = pd.DataFrame(rows)
    return table.sort_values(
        column, key=lambda names: pd.factorize(names)[0], kind="stable", ignore_index=True
    )
