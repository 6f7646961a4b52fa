"""The gain of a recommendation rule; public through `treatsel.metrics.policy`."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_choice
from treatsel.metrics._arms import cells_of, check_table, positions_of
from treatsel.metrics._inputs import check_labels
from treatsel.metrics._units import Units, check_units, mean_of

BEFOREHAND, ON_THIS_DATA, OWN = "named beforehand", "picked on this data", "each patient's own"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Remission rate under the recommendations less the rate under a simpler policy.

    Attributes
    ----------
    value, lower, upper, se, p_value : float
        Difference of two proportions, with its interval, its standard error and the two-sided p value of
        no gain; positive: the recommendations are better.
    compared_with : str
        "best single arm" or "received arm".
    best_arm : label or None
        The arm compared with; None if it is the received one.
    chosen : str
        "named beforehand", "picked on this data" (the comparison is then a little too hard on the
        recommendations), or "each patient's own".
    n, n_groups : int
        Patients; groups, or None if the patients count as independent.
    n_differs : int
        Patients for whom the recommendation is another arm than the one compared with.
    level : float
        Confidence level of [lower, upper].
    method : str
        How the interval was made, or why there is none.
    """

    value: float
    lower: float
    upper: float
    se: float
    p_value: float
    compared_with: str
    best_arm: Any
    chosen: str
    n: int
    n_differs: int
    n_groups: int | None
    level: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])


def gain_over_best_arm(
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    best_arm: Any = None,
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Gain:
    """Remission rate under the recommendations less that of one arm for everybody: the headline.

    Parameters
    ----------
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,)
        Labels of the recommended arms.
    best_arm : label, optional
        The arm to compare with, best named beforehand (from the development cohort). Without it, the arm
        with the highest mean score in these data is picked (ties: the first column). That is a little too
        hard on the recommendations, as the best of several noisy means is too high, and the interval takes
        the pick as given.
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient: cluster-robust standard error with the factor G / (G - 1), and
        Student's t with G - 1 degrees of freedom. Too short for fewer than about ten groups.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Gain
        Difference of proportions; positive: the recommendations are better. Exactly 0 with an interval of
        no width if they are the best arm for everybody.

    Raises
    ------
    InputError
        If lengths differ, a score is not finite, or an arm has no column.

    References
    ----------
    Kallus (2018), Advances in Neural Information Processing Systems 31. doi:10.48550/arXiv.1705.07384
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> gain = gain_over_best_arm(scores, ["CBT", "SSRI", "CBT", "CBT"])
    >>> gain.best_arm, gain.chosen, round(gain.value, 3)
    ('CBT', 'picked on this data', 0.15)
    """
    table = check_table("scores", scores)
    units = check_units(sample_weight, groups, level, scores=scores, recommended=recommended)
    labels = check_labels("recommended", recommended)
    own = cells_of("recommended", labels, table)
    chosen = ON_THIS_DATA if best_arm is None else BEFOREHAND
    if best_arm is None:
        best_arm = table.columns[int(np.argmax(units.weight @ table.to_numpy(dtype=float)))]
    check_choice("best_arm", best_arm, table.columns)
    differs = positions_of("recommended", labels, table.columns) != table.columns.get_loc(best_arm)
    return _gain(
        own - table[best_arm].to_numpy(dtype=float), units, differs, best_arm=best_arm, chosen=chosen
    )


def gain_over_received(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    scores: pd.DataFrame,
    recommended: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Gain:
    """Remission rate under the recommendations less the one observed under the arms received.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Remission, 0 or 1.
    received : array-like of shape (n_patients,)
        Labels of the received arms.
    scores : pandas.DataFrame of shape (n_patients, n_arms)
        Doubly robust scores from `aipw_scores`, columns named by arm.
    recommended : array-like of shape (n_patients,)
        Labels of the recommended arms.
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, as in `gain_over_best_arm`.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Gain
        Difference of proportions; positive: the recommendations are better. In a trial the received arms
        are drawn by lot, so most of it may be what one good arm for everybody would give as well: report
        `gain_over_best_arm` first.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a score is not finite, or an arm has no column.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), Journal of the American Statistical Association 89, 846-866.
    doi:10.1080/01621459.1994.10476818

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [1.0, 0.0, 1.2, 0.4], "SSRI": [0.3, 0.6, 0.2, 0.9]})
    >>> received = ["CBT", "CBT", "CBT", "SSRI"]
    >>> round(gain_over_received([1, 0, 1, 0], received, scores, ["CBT", "SSRI", "CBT", "CBT"]).value, 3)
    0.3
    """
    table = check_table("scores", scores)
    vectors = {"y_true": y_true, "received": received, "recommended": recommended}
    units = check_units(sample_weight, groups, level, scores=scores, **vectors)
    outcome, labels = check_binary("y_true", y_true), check_labels("recommended", recommended)
    differs = np.asarray(check_labels("received", received) != labels)
    return _gain(cells_of("recommended", labels, table) - outcome, units, differs, best_arm=None, chosen=OWN)


def _gain(values: FloatArray, units: Units, differs: Any, *, best_arm: Any, chosen: str) -> Gain:
    mean = mean_of(values, units)
    return Gain(
        value=mean.value,
        lower=mean.limits.lower,
        upper=mean.limits.upper,
        se=mean.se,
        p_value=mean.p_value,
        compared_with="received arm" if chosen == OWN else "best single arm",
        best_arm=best_arm,
        chosen=chosen,
        n=units.n,
        n_differs=round(float(units.weight @ differs)),
        n_groups=units.n_groups,
        level=units.level,
        method=mean.method,
    )
