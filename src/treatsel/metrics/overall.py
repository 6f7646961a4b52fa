"""Overall accuracy of probabilities: Brier score and its parts, log loss, Nagelkerke's R2, base rate."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._stats.clusters import Clusters, check_clusters
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, clopper_pearson, standard_error, two_sided_p, wilson
from treatsel._stats.logistic import fit_logistic
from treatsel._stats.logits import inside, logits
from treatsel._stats.vectors import Scored, check_predicted, check_scored
from treatsel.metrics._brier import BrierDecomposition, brier_decomposition
from treatsel.metrics.discrimination._delong import place

__all__ = [
    "BrierDecomposition",
    "brier_decomposition",
    "brier_score",
    "log_loss",
    "nagelkerke_r2",
    "prevalence",
    "scaled_brier_score",
    "spiegelhalter_z",
]

ONE_CLASS = "the outcome has one class only"


def brier_score(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean squared distance of the predicted probability from the outcome.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        In [0, 1]; lower is better; 0.25 is what 50 % for everybody scores. Wald interval from the spread of
        the squared distances, cut off at 0 and 1.

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
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    loss = (data.score - data.outcome) ** 2
    clusters = check_clusters(groups, data, y_true)
    return _estimate(data, data.mean(loss), loss, clusters, level=level, low=0, high=1)


def scaled_brier_score(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Share of the Brier score that the model saves against predicting the prevalence for everybody.

    1 - Brier / (prevalence x (1 - prevalence)), with the prevalence in these data; also called the index of
    prediction accuracy (IPA) or Brier skill score.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        At most 1; higher is better; 0 is no better than the prevalence, below 0 is worse. Wald interval
        from the influence function, which counts that the prevalence is estimated too. NaN with one class.

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
    >>> round(scaled_brier_score([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]).value, 2)
    0.55
    """
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    clusters = check_clusters(groups, data, y_true)
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    share, loss = data.prevalence, (data.score - data.outcome) ** 2
    brier, null = data.mean(loss), share * (1 - share)
    influence = -loss / null + brier / null**2 * (1 - 2 * share) * data.outcome
    return _estimate(data, 1 - brier / null, influence, clusters, level=level, high=1)


def log_loss(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean negative log-likelihood of the outcomes under the predicted probabilities.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1]. Values beyond 1e-8 and 1 - 1e-8 are moved there, with
        a `TreatselWarning` that counts them.
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        In nats, 0 or more; lower is better; 0.693 is what 50 % for everybody scores. Wald interval, cut off
        at 0.

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
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    loss = -_log_likelihoods(data, inside(data.score))
    return _estimate(data, data.mean(loss), loss, check_clusters(groups, data, y_true), level=level, low=0)


def nagelkerke_r2(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    recalibrated: bool = False,
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Nagelkerke's R2: of the predictions as they stand, or after logistic recalibration.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1]; values beyond 1e-8 and 1 - 1e-8 are moved there, with
        a `TreatselWarning` that counts them.
    recalibrated : bool, default False
        Refit intercept and slope first (what `lrm` on the logit of the prediction prints). The gap between
        both values is what miscalibration costs.
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        At most 1; higher is better; 0 is no better than the prevalence, below 0 is worse (only possible
        if nothing is refitted). Wald interval from the influence function. NaN with one class. Recalibrated:
        1 without interval if the predictions separate the classes, 0 if all are equal.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Nagelkerke (1991), Biometrika 78(3), 691-692. doi:10.1093/biomet/78.3.691

    Examples
    --------
    >>> round(nagelkerke_r2([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]).value, 3)
    0.591
    """
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    clusters = check_clusters(groups, data, y_true)
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    probability = _recalibrated(data) if recalibrated else inside(data.score)
    if probability is None:
        reason, limit = "the predictions separate the classes", float(abs(place(data).separation)) or NAN
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level, value=limit)
    share, each = data.prevalence, _log_likelihoods(data, probability)
    null = share * np.log(share) + (1 - share) * np.log1p(-share)
    kept, top = np.exp(2 * (null - data.mean(each))), 1 - np.exp(2 * null)
    null_part = (np.log(share) - np.log1p(-share)) * data.outcome
    influence = -2 * kept * (null_part - each) / top + (1 - kept) * 2 * (1 - top) * null_part / top**2
    return _estimate(data, float((1 - kept) / top), influence, clusters, level=level, high=1)


def spiegelhalter_z(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Spiegelhalter's z: the Brier score against the one expected if every probability were right.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level; a test statistic has no interval, so it is only passed on.

    Returns
    -------
    Estimate
        Standard normal if the predictions are calibrated; positive: the Brier score is worse than expected
        (overfitting); with the two-sided `p_value`. It misses some miscalibrations (an intercept of the
        wrong size at 50 %, say): look at the curve, too. NaN if every prediction is 0, 0.5 or 1.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Spiegelhalter (1986), Statistics in Medicine 5(5), 421-433. doi:10.1002/sim.4780050506

    Examples
    --------
    >>> found = spiegelhalter_z([0, 1, 1, 0, 1], [0.2, 0.7, 0.6, 0.4, 0.1])
    >>> round(found.value, 2), round(found.p_value, 2)
    (0.78, 0.43)
    """
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    p, tilt = data.score, 1 - 2 * data.score
    spread = float(np.sqrt(data.weight @ (tilt**2 * p * (1 - p))))
    if not spread:
        reason = "every prediction is 0, 0.5 or 1"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
    value = float(data.weight @ ((data.outcome - p) * tilt)) / spread
    method, p_value = "standard normal; a test statistic has no interval", two_sided_p(value, 1.0)
    nothing = Interval(NAN, NAN)
    return estimate_of(data, value, nothing, se=1.0, level=level, method=method, p_value=p_value)


def prevalence(
    y_true: npt.ArrayLike,
    *,
    interval: Literal["wilson", "clopper-pearson"] = "wilson",
    groups: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Share of patients with outcome 1: the base rate that stands beside every measure.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    interval : {"wilson", "clopper-pearson"}, default "wilson"
        Wilson's interval covers at about `level` on average, the exact one of Clopper and Pearson at least
        at `level`.
    groups : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust Wald interval with Student's t instead.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; neither high nor low is better.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or the interval is unknown.

    References
    ----------
    Brown, Cai & DasGupta (2001), Statistical Science 16(2), 101-133. doi:10.1214/ss/1009213286

    Examples
    --------
    >>> share = prevalence([0, 1, 1, 0, 1])
    >>> f"{share.value:.2f} ({share.lower:.2f} to {share.upper:.2f})"
    '0.60 (0.23 to 0.88)'
    """
    check_choice("interval", interval, ["wilson", "clopper-pearson"])
    data, level = check_scored(y_true, y_true, sample_weight, name="y_true"), check_level(level)
    clusters = check_clusters(groups, data, y_true)
    if clusters.codes is not None:
        return _estimate(data, data.prevalence, data.outcome, clusters, level=level, low=0, high=1)
    if interval == "wilson":
        lower, upper = wilson(np.array([data.events]), np.array([data.total]), level)
        limits, method = Interval(float(lower[0]), float(upper[0])), "Wilson"
    else:
        limits, method = clopper_pearson(data.events, data.total, level), "Clopper-Pearson, exact"
    se = standard_error(data.outcome, data.weight)
    return estimate_of(data, data.prevalence, limits, se=se, level=level, method=method)


def _recalibrated(data: Scored) -> FloatArray | None:
    """Return recalibrated probabilities; None if the predictions separate the classes."""
    if data.score.min() == data.score.max():
        return np.full(len(data.score), data.prevalence)
    design = np.column_stack([np.ones(len(data.score)), logits(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    return None if fit is None else np.asarray(expit(fit.linear(design)))


def _log_likelihoods(data: Scored, probability: FloatArray) -> FloatArray:
    return np.where(data.outcome == 1, np.log(probability), np.log1p(-probability))


def _estimate(
    data: Scored,
    value: float,
    parts: FloatArray,
    clusters: Clusters,
    *,
    level: float,
    low: float = -np.inf,
    high: float = np.inf,
) -> Estimate:
    se = clusters.error(parts, data.weight)
    limits = clusters.limits(value, se, level, low=low, high=high)
    return estimate_of(data, value, limits, se=se, level=level, method=clusters.method("Wald", se))
