"""Marginal sensitivity model: bounds of a policy's gain under unmeasured confounding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_choice,
    check_level,
    check_vector,
)
from treatsel._reporting.plots import curves, intervals_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import received_probability, share_of_arm, share_received
from treatsel._stats.estimate import NAN
from treatsel._stats.resampling import Resamples
from treatsel._stats.vectors import Labels, check_labels, check_patients, ordered_labels
from treatsel._stats.weights import WeightsAre, check_sample_weight
from treatsel.errors import InputError
from treatsel.metrics.sensitivity._e_value import LARGEST, _high, _low, _near, _near_limit
from treatsel.metrics.sensitivity._marginal_model import Sums, statistics_of


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MarginalSensitivity(Summarized):
    """Bounds of a policy's value and gain if unmeasured confounding is no stronger than Lambda.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns measure ("value": rate of the good outcome under the rule; "gain": minus that under the best
        single arm), Lambda, lowest and highest (bounds of the estimate), lower and upper (interval around
        both bounds).
    lambda_estimate, lambda_interval : float
        Smallest Lambda at which the bounds of the gain, and its interval, include 0, so that the sign is
        undetermined. 1: already without confounding; infinite: at no Lambda; NaN: not estimable.
    comparator_arm : label
        The arm with which the recommendations are compared.
    n, n_events, n_discordant : int
        Patients; those with the good outcome; those whose recommended arm is not the comparator.
    level, method : float, str
        Confidence level; estimator and how the interval was computed.
    """

    table: pd.DataFrame
    lambda_estimate: float
    lambda_interval: float
    comparator_arm: Any
    n: int
    n_events: int
    n_discordant: int
    level: float
    method: str

    def to_frame(self) -> pd.DataFrame:
        """Return the bounds, one row per measure and Lambda."""
        return self.table.copy()

    def plot(self, ax: Any = None, *, measure: str = "gain", **kwargs: Any) -> Any:
        """Draw both bounds against Lambda, each with its side of the interval.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        measure : {"gain", "value"}
            Measure to draw.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines; bands have the same color.

        Returns
        -------
        matplotlib Axes
        """
        check_choice("measure", measure, ["value", "gain"])
        rows = self.table[self.table["measure"] == measure]
        low = rows.assign(bound="lowest", value=rows["lowest"], upper=rows["lowest"])
        high = rows.assign(bound="highest", value=rows["highest"], lower=rows["highest"])
        text = "Lambda: largest odds ratio of an arm due to unmeasured confounding"
        against = f"Gain over {self.comparator_arm} for all patients"
        ylabel = against if measure == "gain" else "Rate of the good outcome"
        reference = 0.0 if measure == "gain" else None
        table = pd.concat([low, high])
        labels = {"xlabel": text, "ylabel": ylabel, "band": intervals_of(self.level)}
        return curves(table, x="Lambda", by="bound", reference=reference, ax=ax, **labels, **kwargs)


def policy_sensitivity(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    recommended: npt.ArrayLike,
    *,
    propensity: npt.ArrayLike | pd.DataFrame,
    comparator: Any = None,
    lambdas: Sequence[float] = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0),
    method: Literal["hajek", "ipw"] = "hajek",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
    n_resamples: int = 500,
    random_state: int = 0,
) -> MarginalSensitivity:
    """Bounds of a policy's value, and of its gain over the best single arm, under unmeasured confounding.

    Marginal sensitivity model: for each patient and arm, the odds of the arm given also what was not measured
    (even the patient's own outcome) differ by a factor of at most Lambda from the odds given the measured
    covariates. With propensity e, the weight 1 / e may then be anything from 1 + (1/e - 1) / Lambda to
    1 + (1/e - 1) Lambda.

    The gain is that of the patients whose recommended arm is not the comparator, times their share; the gain
    of the others is 0 under any confounding. (At Lambda 1 with "hajek" it is therefore slightly less noisy
    than the difference of two values of `policy_value`.)

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received, recommended : array-like of shape (n_patients,)
        Arm labels.
    propensity : array-like of shape (n_patients,) or pandas.DataFrame of shape (n_patients, n_arms)
        Probability, in (0, 1], of the received arm given the covariates, or of each arm; taken as known. In
        a randomized trial there is no confounding, and Lambda is 1.
    comparator : label, optional
        The arm to compare with. By default, the received arm with the highest weighted rate (Hajek).
    lambdas : sequence of float
        Values of Lambda, each at least 1.
    method : {"hajek", "ipw"}, default "hajek"
        Weighted mean, or weighted sum divided by the number of patients. With "hajek", bounds of the value
        stay within [0, 1].
    clusters : array-like of shape (n_patients,), optional
        Site of each patient; whole sites are resampled.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), of which each resample keeps those of its patients; n is the number of patients.
    level : float, default 0.95
        Confidence level.
    n_resamples, random_state : int
        Number of resamples and seed of the percentile bootstrap. Its interval is for the whole range from
        bound to bound.

    Returns
    -------
    MarginalSensitivity
        With the Lambda at which the sign of the gain is undetermined. NaN where no patient is concordant.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a propensity is outside (0, 1], or a Lambda is below 1.

    References
    ----------
    Tan (2006), Journal of the American Statistical Association 101(476), 1619-1637.
    doi:10.1198/016214506000000023
    Zhao, Small & Bhattacharya (2019), JRSS B 81(4), 735-761. doi:10.1111/rssb.12327
    Kallus & Zhou (2021), Management Science 67(5), 2870-2890. doi:10.1287/mnsc.2020.3699

    Examples
    --------
    >>> received, recommended = ["CBT", "SSRI"] * 40, ["SSRI"] * 60 + ["CBT"] * 20
    >>> y = [0, 1, 1, 1, 0, 1, 0, 0] * 10
    >>> found = policy_sensitivity(y, received, recommended, propensity=[0.5] * 80, comparator="CBT")
    >>> found.to_frame().query("measure == 'gain' and Lambda in (1, 2)")[["lowest", "highest"]].round(2)
        lowest  highest
    6     0.38     0.38
    10    0.15     0.54
    >>> round(found.lambda_estimate, 2), round(found.lambda_interval, 2)
    (3.01, 1.75)
    """
    check_choice("method", method, ["hajek", "ipw"])
    outcome, level = check_binary("y_true", y_true), check_level(level)
    patients = {"y_true": y_true, "received": received, "recommended": recommended, "propensity": propensity}
    n = check_patients(**patients, clusters=clusters, sample_weight=sample_weight)
    weights = check_sample_weight(sample_weight, n, weights_are)
    weight, grid = weights.values, check_vector("lambdas", list(lambdas))
    if not len(grid) or (grid < 1).any():
        raise InputError("lambdas must hold values of 1 or more; 1 means no unmeasured confounding.")
    given = check_labels("received", received)
    probability = received_probability(propensity, given)
    if comparator is None:
        comparator = _best_arm(outcome, given, probability, weight)
    check_choice("comparator", comparator, ordered_labels(given[weight > 0]))
    concordant, differs = share_received(recommended, given), 1 - share_of_arm(recommended, comparator)
    columns = statistics_of(outcome, concordant, differs, given == comparator, probability)
    sums = Sums((weight @ columns)[None, :], method)
    resamples = Resamples.of(
        weight, clusters=weights.units(clusters), n_resamples=n_resamples, seed=random_state
    )
    drawn = Sums(np.array([one @ columns for one in resamples]), method)
    rows = []
    for measure in ("value", "gain"):
        for Lambda in grid:
            point, spread = sums.bounds(measure, Lambda), drawn.bounds(measure, Lambda)
            limits = {"lower": _low(spread, level), "upper": _high(spread, level)}
            bounds = {"lowest": float(point.lowest[0]), "highest": float(point.highest[0])}
            rows.append({"measure": measure, "Lambda": float(Lambda), **bounds, **limits})
    start = float(sums.bounds("gain", 1.0).lowest[0])
    return MarginalSensitivity(
        table=pd.DataFrame(rows),
        lambda_estimate=_lost(start, lambda L: _near(sums.bounds("gain", L), start)),
        lambda_interval=_lost(start, lambda L: _near_limit(drawn.bounds("gain", L), start, level)),
        comparator_arm=comparator,
        n=weights.count(),
        n_events=weights.count(outcome),
        n_discordant=weights.count(differs),
        level=level,
        method=f"{method}, percentile bootstrap, {n_resamples} resamples"
        + ("" if clusters is None else " of clusters"),
    )


def _best_arm(outcome: FloatArray, received: Labels, probability: FloatArray, weight: FloatArray) -> Any:
    inverse = weight / probability
    means = {
        arm: float((inverse * (received == arm)) @ outcome / inverse[received == arm].sum())
        for arm in ordered_labels(received[weight > 0])
    }
    return max(means, key=lambda arm: means[arm])


def _lost(start: float, distance: Any) -> float:
    """Return the smallest Lambda at which the distance from no gain is 0; it decreases with Lambda."""
    if not np.isfinite(start) or not np.isfinite(distance(1.0)):
        return NAN
    if start == 0 or distance(1.0) <= 0:
        return 1.0
    if distance(LARGEST) > 0:
        return np.inf
    return float(np.exp(brentq(lambda log: distance(np.exp(log)), 0.0, np.log(LARGEST), xtol=1e-10)))
