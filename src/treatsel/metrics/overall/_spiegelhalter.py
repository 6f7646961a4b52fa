"""Spiegelhalter's z test of calibration."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import check_level
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import Interval, two_sided_p
from treatsel._stats.vectors import check_predicted
from treatsel._stats.weights import WeightsAre


def spiegelhalter_z(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Spiegelhalter's z: the Brier score compared with its expectation under perfect calibration.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), whose squares enter the variance.
    level : float, default 0.95
        Copied to the result; a test statistic has no interval.

    Returns
    -------
    Estimate
        Standard normal if the predictions are calibrated; positive if the Brier score is worse than expected
        (overfitting); with the two-sided `p_value`. Some miscalibration is not detected (for example, a wrong
        intercept when predictions are near 50 %): inspect the calibration curve as well. NaN if every
        prediction is 0, 0.5 or 1.

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
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    p, tilt = data.score, 1 - 2 * data.score
    squares = data.weight**2 if data.weights.sampling else data.weight  # a count is that many patients
    spread = float(np.sqrt(squares @ (tilt**2 * p * (1 - p))))
    if not spread:
        reason = "every prediction is 0, 0.5 or 1"
        return not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
    value = float(data.weight @ ((data.outcome - p) * tilt)) / spread
    method, p_value = "standard normal; a test statistic has no interval", two_sided_p(value, 1.0)
    nothing = Interval(NAN, NAN)
    return estimate_of(data, value, nothing, se=1.0, level=level, method=method, p_value=p_value)
