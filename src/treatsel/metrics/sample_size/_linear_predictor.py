"""Distributions of the linear predictor as points and weights, for integration instead of simulation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtri, polygamma

from treatsel._checks import FloatArray, check_probability, check_weights
from treatsel._reporting.summary import Summarized
from treatsel._stats.alignment import check_same_order
from treatsel._stats.logits import inside
from treatsel.metrics.sample_size._result import check_between

N_POINTS = 20_001  # odd, so that the midpoint is one of them
REACH = 12.0  # standard deviations on either side


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LinearPredictorDistribution(Summarized):
    """Distribution of the logit of the predicted probability in the target population.

    Create one with `normal`, `beta`, `binormal` or `observed`. Expectations are sums over the points; for the
    smooth distributions this is the trapezoidal rule, which is exact up to rounding there (Trefethen &
    Weideman 2014, doi:10.1137/130932132).

    Attributes
    ----------
    points : ndarray of shape (n_points,)
        Logits.
    weights : ndarray of shape (n_points,)
        Their probabilities; sum to 1.

    Examples
    --------
    >>> round(LinearPredictorDistribution.normal(-0.5, 1.0).mean_prediction, 3)
    0.398
    """

    points: FloatArray
    weights: FloatArray

    @classmethod
    def normal(cls, mean: float, sd: float) -> "LinearPredictorDistribution":
        """Return a normal distribution of the logit."""
        check_between("mean", mean, -np.inf, np.inf)
        check_between("sd", sd, 0, np.inf)
        return _on_grid(mean - REACH * sd, mean + REACH * sd, lambda x: -0.5 * ((x - mean) / sd) ** 2)

    @classmethod
    def beta(cls, alpha: float, beta: float) -> "LinearPredictorDistribution":
        """Return the logit of a probability that follows a beta distribution."""
        check_between("alpha", alpha, 0, np.inf)
        check_between("beta", beta, 0, np.inf)
        mode, sd = np.log(alpha / beta), np.sqrt(polygamma(1, alpha) + polygamma(1, beta))
        low, high = mode - 40 / alpha - REACH * sd, mode + 40 / beta + REACH * sd
        return _on_grid(low, high, lambda x: alpha * x - (alpha + beta) * np.logaddexp(0, x))

    @classmethod
    def binormal(
        cls, prevalence: float, auc: float, *, nonevent_mean: float | None = None
    ) -> "LinearPredictorDistribution":
        """Return two normal distributions of equal variance, for events and non-events, with this AUC.

        The difference of their means equals their variance, 2 x (normal quantile of the AUC)^2, so that the
        calibration slope is 1. `nonevent_mean`, by default logit(prevalence) - variance / 2, gives
        calibration in the large as well.
        """
        check_between("prevalence", prevalence, 0, 1)
        check_between("auc", auc, 0.5, 1)
        variance = 2 * float(ndtri(auc)) ** 2
        mean = float(logit(prevalence)) - variance / 2 if nonevent_mean is None else nonevent_mean
        sd = np.sqrt(variance)

        def log_density(x: FloatArray) -> FloatArray:
            without = np.log1p(-prevalence) - 0.5 * ((x - mean) / sd) ** 2
            with_event = np.log(prevalence) - 0.5 * ((x - mean - variance) / sd) ** 2
            return np.asarray(np.logaddexp(without, with_event))

        return _on_grid(mean - REACH * sd, mean + variance + REACH * sd, log_density)

    @classmethod
    def observed(
        cls, y_prob: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
    ) -> "LinearPredictorDistribution":
        """Return the distribution of given predictions, for example those of similar patients."""
        check_same_order(y_prob=y_prob, sample_weight=sample_weight)
        probability = check_probability("y_prob", y_prob)
        weight = check_weights("sample_weight", sample_weight, len(probability))
        return cls(points=np.asarray(logit(inside(probability))), weights=weight / weight.sum())

    def mean(self, values: FloatArray) -> float:
        """Return the expectation of a value per point."""
        return float(self.weights @ values)

    @property
    def mean_prediction(self) -> float:
        """Mean predicted probability: the prevalence, if the predictions are calibrated in the large."""
        return self.mean(expit(self.points))

    def accuracy_at(self, threshold: float) -> tuple[float, float]:
        """Return sensitivity and specificity of "probability >= threshold" under calibration."""
        event, high = expit(self.points), self.points >= logit(threshold)
        sensitivity = self.mean(event * high) / self.mean(event)
        specificity = self.mean((1 - event) * ~high) / self.mean(1 - event)
        return sensitivity, specificity


def _on_grid(
    low: float, high: float, log_density: Callable[[FloatArray], FloatArray]
) -> LinearPredictorDistribution:
    points = np.linspace(low, high, N_POINTS)
    height = log_density(points)
    density = np.exp(height - height.max())
    return LinearPredictorDistribution(points=points, weights=density / density.sum())


def r2_from_auc(prevalence: float, auc: float) -> float:
    """Return the Cox-Snell R2 of calibrated binormal predictions with this AUC.

    The expected log-likelihood is integrated; Riley, Van Calster & Collins (2021, doi:10.1002/sim.8806)
    simulate a million patients instead.
    """
    predictor = LinearPredictorDistribution.binormal(prevalence, auc)
    x = predictor.points
    model = -predictor.mean(expit(x) * np.logaddexp(0, -x) + expit(-x) * np.logaddexp(0, x))
    return float(-np.expm1(-2 * (model - null_log_likelihood(prevalence))))


def null_log_likelihood(prevalence: float) -> float:
    """Return the log-likelihood per patient of predicting the prevalence for all patients."""
    return float(prevalence * np.log(prevalence) + (1 - prevalence) * np.log1p(-prevalence))
