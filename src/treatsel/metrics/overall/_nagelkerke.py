"""Nagelkerke's R2 of the predictions, unmodified or after logistic recalibration."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from treatsel._checks import FloatArray, check_level
from treatsel._stats.clusters import check_clusters
from treatsel._stats.estimate import NAN, Estimate, not_estimable
from treatsel._stats.logistic import fit_logistic
from treatsel._stats.logits import inside, logits_of
from treatsel._stats.vectors import Scored, check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.discrimination import place
from treatsel.metrics.overall._estimate import ONE_CLASS, _estimate


def nagelkerke_r2(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    recalibrated: bool = False,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Nagelkerke's R2 of the predictions, unmodified or after logistic recalibration.

    (1 - (L0 / L)^(2 / n)) / (1 - L0^(2 / n)), with L the likelihood of the predictions and L0 that of
    predicting the prevalence.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1]; values below 1e-8 or above 1 - 1e-8 are set to
        these limits, with a `TreatselWarning` that gives their number.
    recalibrated : bool, default False
        Refit intercept and slope first (the value printed by `lrm` for the logit of the prediction). The
        difference between the two values is the loss due to miscalibration.
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
        At most 1; higher is better; 0 is no better than the prevalence, below 0 is worse (only possible
        without recalibration). Wald interval from the influence function. NaN if the outcome has only one
        class. With recalibration: 0 if all predictions are equal; if the predictions separate the classes,
        1 without interval (NaN if the two classes share a prediction).

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1 or a probability is outside [0, 1].

    References
    ----------
    Nagelkerke (1991), Biometrika 78(3), 691-692. doi:10.1093/biomet/78.3.691

    Examples
    --------
    L = 0.8 x 0.7 x 0.6 x 0.6 = 0.2016 and L0 = 0.5^4 = 0.0625, which gives
    (1 - (0.0625 / 0.2016)^(1/2)) / (1 - 0.0625^(1/2)) = 0.443 / 0.75.

    >>> round(nagelkerke_r2([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.4]).value, 3)
    0.591
    """
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    clustering = check_clusters(clusters, data, y_true)
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    probability = _recalibrated(data) if recalibrated else inside(data.score)
    if probability is None:
        reason, limit = "the predictions separate the classes", float(abs(place(data).separation)) or NAN
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level, value=limit)
    share, each = data.prevalence, _log_likelihoods(data, probability)
    null = share * np.log(share) + (1 - share) * np.log1p(-share)
    # Nagelkerke (1991), with l = log L: R2 = (1 - exp(2 (l0 - l) / n)) / (1 - exp(2 l0 / n)).
    kept, top = np.exp(2 * (null - data.mean(each))), 1 - np.exp(2 * null)
    # Influence up to a constant, as d(l0 / n) / df = logit f for the prevalence f.
    null_part = (np.log(share) - np.log1p(-share)) * data.outcome
    influence = -2 * kept * (null_part - each) / top + (1 - kept) * 2 * (1 - top) * null_part / top**2
    return _estimate(data, float((1 - kept) / top), influence, clustering, level=level, high=1)


def _recalibrated(data: Scored) -> FloatArray | None:
    """Return recalibrated probabilities; None if the predictions separate the classes."""
    if data.score.min() == data.score.max():
        return np.full(len(data.score), data.prevalence)
    design = np.column_stack([np.ones(len(data.score)), logits_of(data.score)])
    fit = fit_logistic(design, data.outcome, data.weight)
    return None if fit is None else np.asarray(expit(fit.linear(design)))


def _log_likelihoods(data: Scored, probability: FloatArray) -> FloatArray:
    return np.where(data.outcome == 1, np.log(probability), np.log1p(-probability))
