"""Brier score, and the scaled Brier score (relative to predicting the prevalence)."""

import numpy.typing as npt

from treatsel._checks import check_level
from treatsel._stats.clusters import check_clusters
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.overall._estimate import ONE_CLASS, _estimate


def brier_score(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Brier score: mean squared difference between predicted probability and outcome.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
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
        In [0, 1]; lower is better; predicting 50 % for all patients gives 0.25. Wald interval from the
        standard deviation of the squared differences, truncated at 0 and 1.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Brier (1950), Monthly Weather Review 78(1), 1-3. doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    Bradley, Schwartz & Hashino (2008), Weather and Forecasting 23(5), 992-1006. doi:10.1175/2007WAF2007049.1

    Examples
    --------
    >>> round(brier_score([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]).value, 4)
    0.1125
    """
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    loss = (data.score - data.outcome) ** 2
    clustering = check_clusters(clusters, data, y_true)
    return _estimate(data, data.mean(loss), loss, clustering, level=level, low=0, high=1)


def scaled_brier_score(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Scaled Brier score: relative reduction of the Brier score against predicting the prevalence.

    1 - Brier / (prevalence x (1 - prevalence)), with the prevalence in these data; also called the index of
    prediction accuracy (IPA) or Brier skill score.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
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
        At most 1; higher is better; 0 is no better than the prevalence, below 0 is worse. Wald interval
        from the influence function, which allows for the estimation of the prevalence. NaN if the outcome
        has only one class.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Kattan & Gerds (2018), Diagnostic and Prognostic Research 2, 7. doi:10.1186/s41512-018-0029-2
    Hampel (1974), Journal of the American Statistical Association 69, 383-393. doi:10.2307/2285666

    Examples
    --------
    The Brier score is (0.04 + 0.09 + 0.16 + 0.16) / 4 = 0.1125 and the prevalence 0.5, which gives
    1 - 0.1125 / 0.25 = 0.55.

    >>> round(scaled_brier_score([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]).value, 2)
    0.55
    """
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    clustering = check_clusters(clusters, data, y_true)
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    share, loss = data.prevalence, (data.score - data.outcome) ** 2
    # Kattan & Gerds (2018): 1 - BS / BS0, with BS0 = f (1 - f) that of predicting the prevalence f.
    brier, null = data.mean(loss), share * (1 - share)
    # Influence up to a constant (Hampel 1974): -(influence of BS) / BS0 + BS / BS0^2 x (influence of BS0),
    # where the influence of BS0 is (1 - 2 f) y.
    influence = -loss / null + brier / null**2 * (1 - 2 * share) * data.outcome
    return _estimate(data, 1 - brier / null, influence, clustering, level=level, high=1)
