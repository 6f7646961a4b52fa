"""Calibration in the large: intercept of the logistic recalibration with the slope fixed at 1."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import check_choice, check_level
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.logistic import fit_logistic
from treatsel._stats.logits import logits_of
from treatsel._stats.vectors import check_predicted
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.calibration._recalibration import (
    ONE_CLASS,
    Likelihood,
    _clustering,
    _profile_estimate,
    _robust,
    _wald_estimate,
)


def calibration_in_the_large(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    interval: Likelihood = "wald",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Calibration in the large: intercept of the logistic recalibration with the slope fixed at 1.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    interval : {"wald", "profile"}, default "wald"
        Wald interval, or profile-likelihood interval (the values that a likelihood-ratio test does not
        reject). The latter is better in small cohorts, but not available with clusters.
    clusters : array-like of shape (n_patients,), optional
        Sites or other clusters, for a cluster-robust standard error and Student's t with the number of
        clusters - 1 degrees of freedom. With fewer than two clusters there is no interval.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
        A profile interval is not available with sampling weights.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        On the logit scale; 0 is perfect, negative if predictions are too high on average. NaN if the outcome
        has only one class. (The "Intercept" printed by R's rms is that of `logistic_recalibration`.)

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], or a profile interval is
        requested with clusters or sampling weights.

    References
    ----------
    Cox (1958), Biometrika 45(3/4), 562-565. doi:10.1093/biomet/45.3-4.562
    Van Calster et al. (2019), BMC Medicine 17, 230. doi:10.1186/s12916-019-1466-7
    Venzon & Moolgavkar (1988), Applied Statistics 37(1), 87-94. doi:10.2307/2347496
    Cameron & Miller (2015), Journal of Human Resources 50(2), 317-372. doi:10.3368/jhr.50.2.317

    Examples
    --------
    >>> round(calibration_in_the_large([0, 1, 1, 0, 1], [0.2, 0.7, 0.5, 0.4, 0.3]).value, 3)
    0.827
    """
    check_choice("interval", interval, ["wald", "profile"])
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level, clustering = check_level(level), _clustering(clusters, data, y_true, interval=interval)
    constant, offset = np.ones((len(data.score), 1)), logits_of(data.score)
    fit = fit_logistic(constant, data.outcome, data.weight, offset=offset)
    if fit is None:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    if interval == "profile":
        return _profile_estimate(data, fit, constant, offset=offset, level=level)
    fit = _robust(fit, constant, data, clustering, offset=offset)
    return _wald_estimate(data, fit.coefficients[0], fit.se[0], clustering=clustering, level=level)
