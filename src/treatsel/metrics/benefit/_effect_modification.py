"""One omnibus test of effect modification over all arms, with its power."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from treatsel._checks import FloatArray
from treatsel._reporting.format import number, with_interval
from treatsel._reporting.summary import Summarized, Summary
from treatsel._stats.by_arm_tables import check_table
from treatsel._stats.clustered_means import check_units, estimate_of, mean_of
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError

POWER = 0.8  # the usual power for which studies are planned
LEAST_SPREAD = 1e-9  # standard deviation of predicted modification that is a matter of rounding


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EffectModificationTest(Summarized):
    """Whether predicted differences between arms vary over patients as the observed ones do.

    Attributes
    ----------
    slope : Estimate
        Slope of the observed on the predicted effect modification, over all arms: 0 without modification (or
        with one that the model does not know), 1 if it is as large as predicted.
    p_value : float
        Two-sided p value of a slope of 0: the omnibus test.
    power : float
        Probability that a test of this size is significant if the slope is 1: whether these patients are
        enough to find what the model predicts.
    detectable : float
        Slope that is found with a power of 80 %.
    predicted_sd : float
        Standard deviation of the predicted effect modification: of the predicted probabilities, minus the
        mean of the patient and that of the arm.
    """

    slope: Estimate
    p_value: float
    power: float
    detectable: float
    predicted_sd: float

    def _summary(self) -> Summary:
        rows = [
            ("slope (0: none, 1: as predicted)", with_interval(self.slope.to_dict(), number)),
            ("p value", number(self.p_value, 3)),
            ("power if the slope is 1", number(self.power)),
            ("slope found with a power of 80 %", number(self.detectable)),
        ]
        return Summary(
            title="Test of effect modification",
            headline="Do differences between arms vary over patients as predicted?",
            columns=("", "Value"),
            rows=rows,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row: slope, lower, upper, se, p_value, power, detectable, predicted_sd, n."""
        row = {name: getattr(self.slope, "value" if name == "slope" else name) for name in SLOPE}
        own = {name: getattr(self, name) for name in ("p_value", "power", "detectable", "predicted_sd")}
        return pd.DataFrame([row | own | {"n": self.slope.n}])


SLOPE = ("slope", "lower", "upper", "se")


def effect_modification_test(
    scores: pd.DataFrame,
    by_arm: pd.DataFrame,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> EffectModificationTest:
    """Test in one step whether differences between arms vary over patients in the way that a model predicts.

    Predicted probabilities d and doubly robust scores s are centered by patient and by arm, so that neither
    prognosis nor average differences between arms remain. The slope is the sum of d s over the sum of d^2,
    over patients and arms: the best linear predictor of effect modification, for all arms at once.
    Arms are treated alike: no comparator is chosen, and no multiplicity arises.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probabilities of the outcome from a model that has not seen these patients (out of fold, in
        a cross-validation).
    clusters : array-like of shape (n_patients,), optional
        Site of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data).
    level : float, default 0.95
        Confidence level of the slope; the test has the size 1 - level.

    Returns
    -------
    EffectModificationTest
        Slope (any number; 1 is ideal), p value, power and the detectable slope. Not estimable, with p value
        NaN, if the model predicts the same differences for all patients.

    Raises
    ------
    InputError
        If patients or arms differ, or a number is not finite.

    References
    ----------
    Chernozhukov, Demirer, Duflo & Fernandez-Val (2025), Econometrica 93(4), 1121-1164.
    doi:10.3982/ECTA19303

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> by_arm = pd.DataFrame(rng.uniform(0.2, 0.6, (2000, 3)), columns=["CBT", "IPT", "SSRI"])
    >>> scores = by_arm + rng.normal(0, 0.5, by_arm.shape)
    >>> found = effect_modification_test(scores, by_arm)
    >>> bool(found.slope.lower < 1 < found.slope.upper), round(found.power, 2)
    (True, 1.0)
    """
    observed, predicted = check_table("scores", scores), check_table("by_arm", by_arm)
    if set(observed.columns) != set(predicted.columns):
        raise InputError(
            f"scores has the arms {list(observed.columns)}, by_arm {list(predicted.columns)}. Give tables "
            "of the same arms."
        )
    patients = {"scores": scores, "by_arm": by_arm}
    units = check_units(sample_weight, clusters, level, weights_are=weights_are, **patients)
    d = _modification(predicted[observed.columns].to_numpy(dtype=float), units.weight)
    s = _modification(observed.to_numpy(dtype=float), units.weight)
    own = (d**2).sum(axis=1)
    mean_square = float(units.weight @ own / units.weight.sum())
    spread = float(np.sqrt(mean_square / d.shape[1]))
    if not spread > LEAST_SPREAD:
        nothing = not_estimable(
            "all patients have the same predicted differences", n=units.n, n_events=None, level=units.level
        )
        nan = float("nan")
        return EffectModificationTest(slope=nothing, p_value=nan, power=nan, detectable=nan, predicted_sd=0.0)
    cross = (d * s).sum(axis=1)
    slope = float(units.weight @ cross / units.weight.sum()) / mean_square
    # the mean of these values is the slope, and their variation that of its influence function
    mean = mean_of(slope + (cross - slope * own) / mean_square, units)
    power = detectable = float("nan")
    if mean.se > 0:
        reach = (mean.limits.upper - slope) / mean.se  # quantile of Student's t or the normal distribution
        power = float(ndtr(1 / mean.se - reach) + ndtr(-1 / mean.se - reach))
        detectable = (reach + float(ndtri(POWER))) * mean.se
    return EffectModificationTest(
        slope=estimate_of(mean, units, n_events=None, p_value=mean.p_value),
        p_value=mean.p_value,
        power=power,
        detectable=detectable,
        predicted_sd=spread,
    )


def _modification(table: FloatArray, weight: FloatArray) -> FloatArray:
    """Return a table minus the means of its rows and, weighted, of its columns."""
    within: Any = table - table.mean(axis=1, keepdims=True)
    return np.asarray(within - weight @ within / weight.sum())
