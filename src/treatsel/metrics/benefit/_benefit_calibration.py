"""Calibration of the predicted benefit with doubly robust scores; public through `benefit`."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from treatsel._checks import FloatArray
from treatsel._reporting.plots import benefit_groups
from treatsel._reporting.summary import Summarized
from treatsel._stats.clustered_means import mean_estimate, mean_of
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.intervals import two_sided_p, wald
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.benefit._arm_pair import (
    ArmPair,
    benefit_scores,
    check_bins,
    check_pair,
    groups_of,
    robust_covariance,
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BenefitCalibration(Summarized):
    """Best linear predictor of the benefit: benefit = intercept + slope x predicted benefit.

    Attributes
    ----------
    in_the_large : Estimate
        Average benefit minus the average predicted benefit; 0 is perfect.
    intercept, slope : Estimate
        Fitted together; 0 and 1 are perfect. A slope of 0 means that the predicted benefit does not rank
        patients (its `p_value` tests this); below 1, predicted differences are too large.
    covariance : float
        Covariance of intercept and slope.
    p_value_calibration : float
        P value of the joint test that the intercept is 0 and the slope 1.
    table : pandas.DataFrame
        Groups of patients by predicted benefit; columns group (1, 2, ...), n, predicted (mean), observed,
        lower, upper, se.
    level : float
        Confidence level of all limits.
    """

    in_the_large: Estimate
    intercept: Estimate
    slope: Estimate
    covariance: float
    p_value_calibration: float
    table: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the groups with their intervals, the fitted line, and the ideal (dashed).

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        line = {"intercept": self.intercept.value, "slope": self.slope.value}
        return benefit_groups(self.table, **line, level=self.level, ax=ax, **kwargs)


def benefit_calibration(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    propensity: npt.ArrayLike | pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    n_bins: int = 5,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> BenefitCalibration:
    """Calibration of the predicted benefit: regression of doubly robust scores on it, and means by group.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, from a model that has not seen these patients.
    propensity : pandas.DataFrame of shape (n_patients, n_arms) or array-like of shape (n_patients,)
        Probability of receiving each arm; rows sum to 1; renormalized to the two arms. If `by_arm` has only
        two arms, the probability of the received arm is enough.
    control, treated : label
        The two arms.
    n_bins : int, default 5
        Maximum number of groups of similar predicted benefit; equal predictions stay in one group.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, for cluster-robust standard errors with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    BenefitCalibration
        Intercept and slope with robust (sandwich, HC1) or cluster-robust intervals, and results by group;
        `.to_frame()` and `.plot()`. No matching is involved. Intercept and slope are NaN if all predicted
        benefits are equal.

    Raises
    ------
    InputError
        If lengths differ, an arm has no column or no patient, a received arm has propensity 0, or `n_bins`
        is below 1.

    References
    ----------
    Chernozhukov, Demirer, Duflo & Fernandez-Val (2025), Econometrica 93(4), 1121-1164.
    doi:10.3982/ECTA19303
    Semenova & Chernozhukov (2021), The Econometrics Journal 24(2), 264-289. doi:10.1093/ectj/utaa027

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> by_arm = pd.DataFrame({"CBT": rng.uniform(0.2, 0.6, 2000), "SSRI": rng.uniform(0.2, 0.6, 2000)})
    >>> arm = rng.choice(["CBT", "SSRI"], 2000)
    >>> y = rng.binomial(1, np.where(arm == "CBT", by_arm["CBT"], by_arm["SSRI"]))
    >>> even = pd.DataFrame(0.5, index=by_arm.index, columns=by_arm.columns)
    >>> found = benefit_calibration(y, arm, by_arm, even, control="CBT", treated="SSRI")
    >>> bool(found.slope.lower < 1 < found.slope.upper), len(found.to_frame())
    (True, 5)
    """
    check_bins(n_bins)
    labels: dict[str, Any] = {"control": control, "treated": treated}
    pair = check_pair(
        y_true,
        received,
        by_arm,
        **labels,
        sample_weight=sample_weight,
        weights_are=weights_are,
        clusters=clusters,
        level=level,
    )
    score = benefit_scores(pair, by_arm, propensity)
    intercept, slope, covariance, p_value_calibration = _line(pair, score)
    return BenefitCalibration(
        in_the_large=mean_estimate(score - pair.benefit, pair.units, n_events=pair.n_events),
        intercept=intercept,
        slope=slope,
        covariance=covariance,
        p_value_calibration=p_value_calibration,
        table=_grouped(pair, score, n_bins),
        level=pair.units.level,
    )


def _line(pair: ArmPair, score: FloatArray) -> tuple[Estimate, Estimate, float, float]:
    nan = float("nan")
    if np.ptp(pair.benefit) == 0:
        nothing = not_estimable("all predicted benefits are equal", **pair.counts())
        return nothing, nothing, nan, nan
    design = np.column_stack([np.ones(len(score)), pair.benefit])
    bread = np.asarray(np.linalg.inv(design.T @ (design * pair.weight[:, None])), dtype=float)
    values = bread @ (design.T @ (pair.weight * score))
    covariance = robust_covariance(bread, design * (score - design @ values)[:, None], pair.units)
    n_clusters = pair.units.n_clusters
    df = None if n_clusters is None else n_clusters - 1
    errors = np.sqrt(np.diag(covariance))
    method = pair.units.weights.method("Wald, robust (HC1)")
    if df is not None:
        method = f"Wald, cluster-robust, {n_clusters} clusters, t with {df} df"
    found = []
    for value, se in zip(values, errors, strict=True):
        limits = wald(value, se, pair.units.level, df=df)
        p_value = two_sided_p(value, se, df=df)
        estimate = Estimate(
            value=float(value),
            lower=limits.lower,
            upper=limits.upper,
            method=method,
            se=float(se),
            p_value=p_value,
            **pair.counts(),
        )
        found.append(estimate)
    return found[0], found[1], float(covariance[0, 1]), _joint_p(values - [0, 1], covariance, df)


def _joint_p(away: FloatArray, covariance: FloatArray, df: int | None) -> float:
    if not np.isfinite(covariance).all() or np.linalg.cond(covariance) > 1e12:
        return float("nan")
    statistic = float(away @ np.linalg.solve(covariance, away))
    return float(special.chdtrc(2, statistic) if df is None else special.fdtrc(2, df, statistic / 2))


def _grouped(pair: ArmPair, score: FloatArray, n_bins: int) -> pd.DataFrame:
    """Return one row per group of similar predicted benefit."""
    group = groups_of(pair.benefit, pair.weight, n_bins)
    rows = []
    for number in range(group.max() + 1):
        mine = group == number
        units = pair.units.subset(mine)
        mean = mean_of(score[mine], units)
        rows.append(
            {
                "group": number + 1,
                "n": units.n,
                "predicted": float(units.weight @ pair.benefit[mine] / units.weight.sum()),
                "observed": mean.value,
                "lower": mean.limits.lower,
                "upper": mean.limits.upper,
                "se": mean.se,
            }
        )
    return pd.DataFrame(rows)
