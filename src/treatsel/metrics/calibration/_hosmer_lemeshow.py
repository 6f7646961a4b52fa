"""Hosmer-Lemeshow test over bins of predicted risk."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._reporting.summary import Summarized
from treatsel.metrics.calibration._curve import calibration_groups
from treatsel.metrics.calibration._weak_calibration_test import _chi_square


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HosmerLemeshow(Summarized):
    """Hosmer-Lemeshow test and its groups of similar predictions.

    Attributes
    ----------
    statistic, p_value : float
        NaN where the data do not allow the test.
    df : int
        Degrees of freedom: the number of groups, since nothing was fitted to these patients.
    table : pandas.DataFrame
        The groups, as from `calibration_groups`.
    """

    statistic: float
    df: int
    p_value: float
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the groups."""
        return self.table.copy()


def hosmer_lemeshow(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_bins: int = 10,
    sample_weight: npt.ArrayLike | None = None,
) -> HosmerLemeshow:
    """Hosmer-Lemeshow test of predictions that were not fitted to these patients.

    The sum of (O - E)^2 / (n m (1 - m)) over the groups of `calibration_groups`, with m the mean prediction.
    The result depends on the number of groups, and the power is low; prefer `weak_calibration_test`.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    n_bins : int, default 10
        Largest number of groups; equal predictions stay together.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.

    Returns
    -------
    HosmerLemeshow
        Chi-square statistic with as many degrees of freedom as groups. A group whose predictions are all 0,
        or all 1, contributes 0 if all its outcomes agree and makes the statistic infinite otherwise.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1] or `n_bins` is below 1.

    References
    ----------
    Hosmer, Lemeshow & Sturdivant (2013), Applied Logistic Regression, 3rd ed., section 5.2.
    doi:10.1002/9781118548387

    Examples
    --------
    >>> test = hosmer_lemeshow([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4], n_bins=2)
    >>> round(test.statistic, 3), test.df, round(test.p_value, 3)
    (1.934, 2, 0.38)
    """
    table = calibration_groups(y_true, y_prob, n_bins=n_bins, sample_weight=sample_weight)
    n, mean = table["n"].to_numpy(dtype=float), table["predicted"].to_numpy()
    apart, variance = (n * (table["observed"].to_numpy() - mean)) ** 2, n * mean * (1 - mean)
    safe = np.where(variance > 0, variance, 1.0)
    parts = np.where(variance > 0, apart / safe, np.where(apart > 0, np.inf, 0.0))
    test = _chi_square(float(parts.sum()) / 2, len(table))
    return HosmerLemeshow(statistic=test.statistic, df=test.df, p_value=test.p_value, table=table)
