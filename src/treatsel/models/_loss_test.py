"""Test of whether the loss of outcomes depends on process columns, given arm and covariates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import chi2

from treatsel._checks import check_same_length
from treatsel._reporting.summary import Summarized
from treatsel._stats.logistic import maximize
from treatsel.additive import Encoding
from treatsel.errors import InputError
from treatsel.models._observation import observation_weights

LEAST = 1e-6  # distance of probabilities of observation from 0 and 1, for finite logits


@dataclass(frozen=True, kw_only=True, repr=False)
class LossTest(Summarized):
    """Likelihood-ratio test of whether loss depends on process columns, given arm and covariates.

    Attributes
    ----------
    columns : tuple of str
        The process columns.
    statistic : float
        Likelihood ratio, chi-squared.
    df : int
        Degrees of freedom.
    p_value : float
        Of no dependence.
    """

    columns: tuple[str, ...]
    statistic: float
    df: int
    p_value: float


def loss_test(
    covariates: pd.DataFrame,
    received: pd.Series,
    observed: Any,
    process: pd.DataFrame,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> LossTest:
    """Test whether the loss of an outcome depends on process columns, given arm and covariates.

    The probability of observation given arm and covariates is cross-fitted (`observation_weights`) and held
    as an offset of a logistic regression on the process columns. Missing at random itself cannot be tested:
    a dependence makes it doubtful, since process columns are associated with the outcome; without one, the
    loss may still depend on the outcome itself.

    Parameters
    ----------
    covariates, received, observed, folds
        As in `observation_weights`.
    process : DataFrame of shape (n_patients, n_columns)
        Columns observed after the start: dropout, sessions attended, reason for ending. Missing values are
        indicated.

    Returns
    -------
    LossTest

    Raises
    ------
    InputError
        If lengths differ, or every outcome or none was observed.

    References
    ----------
    Potthoff et al. (2006), Statistical Methods in Medical Research 15(3), 213-234 (what recorded data can say
    of missing at random)

    Examples
    --------
    >>> from sklearn.model_selection import KFold
    >>> X = pd.DataFrame({"age": np.arange(200.0) % 50})
    >>> left = pd.DataFrame({"dropout": np.arange(200) % 3 == 0}).astype(float)
    >>> observed = (np.arange(200) % 6 > 0) | (np.arange(200) % 5 == 0)
    >>> found = loss_test(X, pd.Series(["CBT"] * 200), observed, left, list(KFold(4).split(X)))
    >>> found.columns, found.df, found.p_value < 0.001
    (('dropout',), 1, True)
    """
    check_same_length(covariates=covariates, process=process)
    seen = np.asarray(observed, dtype=float)
    found = observation_weights(covariates, received, observed, folds)
    if found.probability is None or seen.all():
        raise InputError("Every outcome was observed: there is no loss to test.")
    offset = logit(np.clip(found.probability.to_numpy(dtype=float), LEAST, 1 - LEAST))
    ones = np.ones(len(seen))
    matrix = Encoding.of_cohort(process, ones, native_missing=False).encode(process)
    alone, whole = (
        maximize(np.column_stack([ones, columns]), seen, ones, offset) for columns in (matrix[:, :0], matrix)
    )
    statistic = max(2 * (whole.log_likelihood - alone.log_likelihood), 0.0)
    df = whole.rank - alone.rank
    return LossTest(
        columns=tuple(map(str, process.columns)),
        statistic=statistic,
        df=df,
        p_value=float(chi2.sf(statistic, df)),
    )
