"""Overall accuracy of probabilities: Brier score, scaled Brier score, log loss, Nagelkerke's R2."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, check_level
from treatsel.metrics._inputs import Scored, check_predicted
from treatsel.metrics._intervals import standard_error, wald
from treatsel.metrics._logit import inside
from treatsel.metrics._result import Estimate, estimate_of, not_estimable

__all__ = ["brier_score", "log_loss", "nagelkerke_r2", "scaled_brier_score"]

ONE_CLASS = "the outcome has one class only"


def brier_score(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
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
    return _estimate(data, data.mean(loss), loss, level=level, low=0, high=1)


def scaled_brier_score(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
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
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    share, loss = data.prevalence, (data.score - data.outcome) ** 2
    brier, null = data.mean(loss), share * (1 - share)
    influence = -loss / null + brier / null**2 * (1 - 2 * share) * data.outcome
    return _estimate(data, 1 - brier / null, influence, level=level, high=1)


def log_loss(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
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
    loss = -_log_likelihoods(data)
    return _estimate(data, data.mean(loss), loss, level=level, low=0)


def nagelkerke_r2(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Nagelkerke's R2 of the predictions as they stand, without recalibrating them first.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1]; values beyond 1e-8 and 1 - 1e-8 are moved there, with
        a `TreatselWarning` that counts them.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        At most 1; higher is better; 0 is no better than the prevalence, below 0 is worse (only possible
        because nothing is refitted). Wald interval from the influence function. NaN with one class.

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
    if not data.has_both:
        return not_estimable(ONE_CLASS, n=data.n, n_events=data.n_events, level=level)
    share, each = data.prevalence, _log_likelihoods(data)
    null = share * np.log(share) + (1 - share) * np.log1p(-share)
    kept, top = np.exp(2 * (null - data.mean(each))), 1 - np.exp(2 * null)
    null_part = (np.log(share) - np.log1p(-share)) * data.outcome
    influence = -2 * kept * (null_part - each) / top + (1 - kept) * 2 * (1 - top) * null_part / top**2
    return _estimate(data, float((1 - kept) / top), influence, level=level, high=1)


def _log_likelihoods(data: Scored) -> FloatArray:
    probability = inside(data.score)
    return np.where(data.outcome == 1, np.log(probability), np.log1p(-probability))


def _estimate(
    data: Scored, value: float, parts: FloatArray, *, level: float, low: float = -np.inf, high: float = np.inf
) -> Estimate:
    se = standard_error(parts, data.weight)
    limits = wald(value, se, level, low=low, high=high)
    method = "Wald" if np.isfinite(se) else "no interval: it needs at least two patients"
    return estimate_of(data, value, limits, se=se, level=level, method=method)
