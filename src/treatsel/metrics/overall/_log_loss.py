"""Logarithmic loss: minus the mean log-likelihood of the outcomes."""

import numpy.typing as npt

from treatsel._checks import check_level
from treatsel._stats.clusters import check_clusters
from treatsel._stats.estimate import Estimate
from treatsel._stats.logits import inside
from treatsel._stats.vectors import check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.overall._estimate import _estimate
from treatsel.metrics.overall._nagelkerke import _log_likelihoods


def log_loss(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Log loss: mean negative log-likelihood of the outcomes under the predicted probabilities.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1]. Values below 1e-8 or above 1 - 1e-8 are set to
        these limits, with a `TreatselWarning` that gives their number.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        In nats, 0 or more; lower is better; predicting 50 % for all patients gives 0.693. Wald interval,
        truncated at 0.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Good (1952), Journal of the Royal Statistical Society B 14(1), 107-114.
    doi:10.1111/j.2517-6161.1952.tb00104.x

    Examples
    --------
    >>> round(log_loss([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]).value, 4)
    0.4004
    """
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    loss = -_log_likelihoods(data, inside(data.score))
    return _estimate(data, data.mean(loss), loss, check_clusters(clusters, data, y_true), level=level, low=0)
