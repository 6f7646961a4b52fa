"""The gain of a recommendation rule; public through `treatsel.metrics.policy`."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_choice
from treatsel._stats.by_arm_tables import check_table, positions_of, shares_of
from treatsel._stats.clustered_means import Mean, Units, check_units, mean_of
from treatsel._stats.intervals import Interval
from treatsel._stats.vectors import check_labels, check_patients
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.policy._gain_result import BEFOREHAND, BEST, ON_THIS_DATA, Gain, Gains


def gain_over_best_arm(
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    comparator: Any = None,
    selection: Literal["ignored", "adjusted"] = "ignored",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Gain:
    """Outcome rate under the recommendations minus that of the best single arm for all patients.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    comparator : label, or Series of labels of shape (n_patients,), optional
        The arm to compare with, preferably named in advance (from the development cohort); or one arm per
        patient, such as the best arm of the other folds in cross-validation. By default the arm with the
        highest mean score in these data (ties: the first column); the comparison is then slightly
        conservative, because the largest of several noisy means is biased upward.
    selection : {"ignored", "adjusted"}, default "ignored"
        If the arm is selected in these data: take the selected arm as given, or give an interval (and a
        p value) for the gain over the arm that is truly best, whichever it is. That gain is the smallest of
        the gains over the single arms, so its lower limit is the smallest of their lower limits
        (intersection-union), and its upper limit the smallest of their Bonferroni upper limits. The
        interval is wider, with coverage of at least `level`. No effect if `comparator` is given.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient: cluster-robust standard error with the factor G / (G - 1), and
        Student's t with G - 1 degrees of freedom. The interval is too short with fewer than about ten
        clusters.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Gain
        Difference of proportions; positive: the recommendations are better. Exactly 0 if the comparator is
        recommended to all patients; the interval then has zero width, unless it is adjusted for selection.
        With one comparator per patient, `comparator_arm` is the most frequent one.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, or an arm has no column.

    References
    ----------
    Kallus (2018), Advances in Neural Information Processing Systems 31. doi:10.48550/arXiv.1705.07384
    Berger (1982), Technometrics 24(4), 295-300. doi:10.1080/00401706.1982.10487790
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> gain = gain_over_best_arm(scores, ["CBT", "SSRI", "CBT", "CBT"])
    >>> gain.comparator_arm, gain.comparator_source, round(gain.value, 3)
    ('CBT', 'selected in these data', 0.15)
    """
    check_choice("selection", selection, ["ignored", "adjusted"])
    table, units, shares, own = _checked(scores, recommended, clusters, sample_weight, level, weights_are)
    source = ON_THIS_DATA if comparator is None else BEFOREHAND
    values = table.to_numpy(dtype=float)
    if comparator is None:
        comparator = table.columns[int(np.argmax(units.weight @ values))]
    positions, arm = _compared(comparator, table)
    rows = np.arange(len(table))
    mean = mean_of(own - values[rows, positions], units)
    if selection == "adjusted" and source == ON_THIS_DATA:
        mean = _smallest([mean_of(own - column, units) for column in values.T], units.level)
    return _gain(mean, units, 1 - shares[rows, positions], comparator=BEST, arm=arm, source=source)


def _compared(comparator: Any, table: pd.DataFrame) -> tuple[Any, Any]:
    """Return each patient's column to compare with, and its label; the most frequent one if they differ."""
    if not isinstance(comparator, pd.Series):
        check_choice("comparator", comparator, table.columns)
        return np.full(len(table), table.columns.get_loc(comparator)), comparator
    check_patients(scores=table, comparator=comparator)
    labels = check_labels("comparator", comparator)
    return positions_of("comparator", labels, table.columns), pd.Series(labels).value_counts().index[0]


def gain_over_each_arm(
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    simultaneous: bool = False,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Gains:
    """Outcome rate under the recommendations minus that of each single arm for all patients.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,), or DataFrame of shape (n_patients, n_arms)
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    simultaneous : bool, default False
        Widen the intervals so that their joint coverage is at least `level` (Bonferroni).
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, as in `gain_over_best_arm`.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Gains
        Differences of proportions; positive: the recommendations are better. A rule is useful only
        if it beats every arm: the smallest gain counts.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, or an arm has no column.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> gains = gain_over_each_arm(scores, ["CBT", "SSRI", "CBT", "CBT"])
    >>> gains.to_frame()["value"].round(3).to_dict()
    {'CBT': 0.15, 'SSRI': 0.3}
    """
    table, units, shares, own = _checked(scores, recommended, clusters, sample_weight, level, weights_are)
    count = len(table.columns) if simultaneous else 1
    each = dataclasses.replace(units, level=1 - (1 - units.level) / count)
    rows = {}
    for number, arm in enumerate(table.columns):
        mean = mean_of(own - table[arm].to_numpy(dtype=float), each)
        rows[arm] = {
            "value": mean.value,
            "lower": mean.limits.lower,
            "upper": mean.limits.upper,
            "se": mean.se,
            "p_value": min(1.0, count * mean.p_value),
            "n": units.n,
            "n_discordant": units.weights.count(1 - shares[:, number]),
            "method": f"{mean.method}, Bonferroni over {count} arms" if simultaneous else mean.method,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="arm")
    return Gains(table=frame, level=units.level, simultaneous=simultaneous)


def _checked(
    scores: Any,
    recommended: Any,
    clusters: Any,
    sample_weight: Any,
    level: float,
    weights_are: WeightsAre,
) -> tuple[pd.DataFrame, Units, FloatArray, FloatArray]:
    """Return the table, weights and clusters, shares of the recommended arms, and the scores under them."""
    table = check_table("scores", scores)
    units = check_units(
        sample_weight, clusters, level, weights_are=weights_are, scores=scores, recommended=recommended
    )
    shares = shares_of(recommended, table.columns)
    return table, units, shares, (shares * table.to_numpy(dtype=float)).sum(axis=1)


def _smallest(means: Sequence[Mean], level: float) -> Mean:
    """Return the smallest of several means with an interval valid for whichever is truly smallest.

    The limits of the means are those at `level`.
    """
    count = len(means)
    found = min(means, key=lambda mean: mean.value)
    upper = min(mean.limits_at(1 - (1 - level) / count).upper for mean in means)
    above = float(np.max([mean.p_value if mean.value > 0 else 1.0 for mean in means]))
    below = float(np.min([mean.p_value if mean.value < 0 else 1.0 for mean in means]))
    return dataclasses.replace(
        found,
        limits=Interval(min(mean.limits.lower for mean in means), upper),
        p_value=min(1.0, above, count * below),
        method=f"{found.method}, smallest of {count} gains (intersection-union, Bonferroni)",
    )


def _gain(mean: Mean, units: Units, differs: Any, *, comparator: str, arm: Any, source: str) -> Gain:
    return Gain(
        value=mean.value,
        lower=mean.limits.lower,
        upper=mean.limits.upper,
        se=mean.se,
        p_value=mean.p_value,
        comparator=comparator,
        comparator_arm=arm,
        comparator_source=source,
        n=units.n,
        n_discordant=units.weights.count(differs),
        n_clusters=units.n_clusters,
        level=units.level,
        method=mean.method,
    )
