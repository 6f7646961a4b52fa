"""Effect of an arm by predicted risk: the risk-based part of a PATH analysis."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_arm, check_vector
from treatsel._reporting import plots
from treatsel._reporting.format import points, with_interval
from treatsel._reporting.summary import Summarized, Summary
from treatsel._stats.by_arm_tables import check_table
from treatsel._stats.clustered_means import Units, check_units, estimate_of, mean_estimate, mean_of
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError
from treatsel.metrics.benefit._arm_pair import check_bins, groups_of

LEAST_SPREAD = 1e-9  # standard deviation of predicted risks that is a matter of rounding
SCALES = {"difference": "Difference of outcome rates", "ratio": "Ratio of outcome rates"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EffectByRisk(Summarized):
    """Effect of one arm over another in groups of patients by their predicted risk.

    Attributes
    ----------
    overall : Estimate
        Average effect: outcome rate under `treated` minus that under `control`.
    trend : Estimate
        Change of this difference for one standard deviation of the risk, with its p value.
    table : pandas.DataFrame
        One row per group; columns group (1, 2, ...), n, risk (mean), rate_control, rate_treated, and with
        limits difference, difference_lower, difference_upper, ratio, ratio_lower, ratio_upper.
    level : float
        Confidence level of all limits.
    """

    overall: Estimate
    trend: Estimate
    table: pd.DataFrame
    level: float

    def _summary(self) -> Summary:
        rows = [
            (f"{int(row['group'])}", f"{int(row['n']):,}", points(row["difference"]))
            for _, row in self.table.iterrows()
        ]
        found = self.overall
        return Summary(
            title="Effect by risk",
            headline=f"Average effect: {with_interval(found.to_dict(), points)}",
            columns=("Group of risk", "n", "Difference"),
            rows=rows,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per group."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, scale: str = "difference", **kwargs: Any) -> Any:
        """Draw the effect in each group with its interval, lowest risk on top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        scale : {"difference", "ratio"}
            Whether to draw differences or ratios of outcome rates.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        if scale not in SCALES:
            raise InputError(f"scale is {scale!r}; it must be one of {list(SCALES)}.")
        names = {scale: "value", f"{scale}_lower": "lower", f"{scale}_upper": "upper"}
        shown = self.table.rename(columns=names)
        shown.index = pd.Index([f"risk {100 * risk:.0f} %" for risk in self.table["risk"]])
        xlabel = f"{SCALES[scale]} ({plots.intervals_of(self.level)})"
        reference = 0.0 if scale == "difference" else 1.0
        return plots.estimates(shown, reference=reference, xlabel=xlabel, ax=ax, **kwargs)


def effect_by_risk(
    scores: pd.DataFrame,
    risk: npt.ArrayLike,
    *,
    control: Hashable,
    treated: Hashable,
    n_bins: int = 4,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> EffectByRisk:
    """Effect of one arm over another by quarters of predicted risk, as a difference and as a ratio of rates.

    A model of risk that does not know the treatment orders the patients; where risks differ, effects on at
    least one of the two scales must differ. The PATH statement recommends this before any effect modeling.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    risk : array-like of shape (n_patients,)
        Predicted probability of the outcome, the same for all arms: for example the mean over arms.
    control, treated : label
        The two arms.
    n_bins : int, default 4
        Maximum number of groups of similar risk; equal risks stay in one group.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, for cluster-robust standard errors with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data).
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    EffectByRisk
        Differences in [-1, 1]; ratios above 0, NaN where a rate is not positive. The trend is not estimable
        if all risks are equal.

    Raises
    ------
    InputError
        If lengths differ, a number is not finite, an arm has no column, or `n_bins` is below 1.

    References
    ----------
    Kent et al. (2020), Annals of Internal Medicine 172(1), 35-45 (PATH statement). doi:10.7326/M18-3667

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.uniform(0.2, 0.6, 4000)
    >>> scores = pd.DataFrame({"CBT": risk * 1.2, "SSRI": risk}) + rng.normal(0, 0.5, (4000, 2))
    >>> found = effect_by_risk(scores, risk, control="SSRI", treated="CBT")
    >>> found.to_frame()["difference"].round(2).tolist()
    [0.07, 0.06, 0.1, 0.1]
    """
    check_bins(n_bins)
    table, levels = check_table("scores", scores), check_vector("risk", risk)
    units = check_units(sample_weight, clusters, level, weights_are=weights_are, scores=scores, risk=risk)
    arms = list(table.columns)
    own = table[check_arm("treated", treated, arms)].to_numpy(dtype=float)
    other = table[check_arm("control", control, arms)].to_numpy(dtype=float)
    kept = units.weight > 0
    own, other, levels, units = own[kept], other[kept], levels[kept], units.subset(kept)
    group = groups_of(levels, units.weight, n_bins)
    rows = []
    for number in range(group.max() + 1):
        mine = group == number
        part = units.subset(mine)
        mean = float(part.weight @ levels[mine] / part.weight.sum())
        rows.append(
            {"group": number + 1, "n": part.n, "risk": mean, **_effects(own[mine], other[mine], part)}
        )
    return EffectByRisk(
        overall=mean_estimate(own - other, units, n_events=None),
        trend=_trend(own - other, levels, units),
        table=pd.DataFrame(rows),
        level=units.level,
    )


def _effects(own: FloatArray, other: FloatArray, units: Units) -> dict[str, float]:
    """Return outcome rates under both arms, with their difference and ratio, of one group."""
    treated, control = (float(units.weight @ each / units.weight.sum()) for each in (own, other))
    difference, nan = mean_of(own - other, units), float("nan")
    ratio = dict.fromkeys(("ratio", "ratio_lower", "ratio_upper"), nan)
    if min(treated, control) > 0:
        log = np.log(treated / control)
        # delta method: the mean of these values is the log ratio, their variation that of its influence
        found = mean_of(log + (own - treated) / treated - (other - control) / control, units)
        ends = np.exp([log, found.limits.lower, found.limits.upper]).tolist()
        ratio = dict(zip(ratio, ends, strict=True))
    return {
        "rate_control": control,
        "rate_treated": treated,
        "difference": difference.value,
        "difference_lower": difference.limits.lower,
        "difference_upper": difference.limits.upper,
    } | ratio


def _trend(effect: FloatArray, risk: FloatArray, units: Units) -> Estimate:
    """Return the slope of the effect on the risk, per standard deviation."""
    total = units.weight.sum()
    away = risk - units.weight @ risk / total
    variance = float(units.weight @ away**2 / total)
    if not variance > LEAST_SPREAD**2:
        return not_estimable("all risks are equal", n=units.n, n_events=None, level=units.level)
    z = away / np.sqrt(variance)
    centered = effect - units.weight @ effect / total
    slope = float(units.weight @ (z * centered) / total)
    mean = mean_of(slope + z * (centered - slope * z), units)
    return estimate_of(mean, units, n_events=None, p_value=mean.p_value)
