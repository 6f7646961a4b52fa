"""Projection: the linear terms whose probabilities are closest to given ones."""

import numpy as np
from scipy.special import expit

from treatsel._checks import FloatArray

MAX_STEPS = 50  # never reached in practice: Newton's method converges quadratically
# Gauss-Hermite rule for the mean probability of a normal logit: with 9 nodes the error is below 1e-4 up to an
# SD of the logit of 1.5, and 4e-4 at 2.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def normal_mean(logits: FloatArray, variance: FloatArray) -> FloatArray:
    """Return the mean probability of normally distributed logits with these means and variances."""
    spread = logits[..., None] + np.sqrt(variance)[..., None] * _NODES
    return np.asarray(expit(spread) @ _WEIGHTS)


def averaged_over(sd: FloatArray) -> FloatArray:
    """Return the factor by which a logit shrinks in the mean over a normal effect with this SD.

    That of a probit model with the scale that is closest to the logistic function: off by less than 0.01 in
    probability up to an SD of 1.5 (Zeger, Liang & Albert 1988, Biometrics 44(4), 1049-1060,
    doi:10.2307/2531734).
    """
    return np.asarray(1 / np.sqrt(1 + (16 * np.sqrt(3) / (15 * np.pi)) ** 2 * sd**2))


def matched(
    design: FloatArray,
    weights: FloatArray,
    target: FloatArray,
    start: FloatArray,
    spread: FloatArray,
    *,
    offset: FloatArray | float = 0.0,
) -> FloatArray:
    """Match probabilities in Kullback-Leibler divergence, by Newton's method with step halving from `start`.

    `offset`: part of the logits that is held. `spread`: posterior variance of each term.
    """
    # The ridge towards the posterior mean, 1 % of the posterior precision, holds terms in place about which
    # these patients carry no information, and hardly changes the others.
    ridge = 0.01 / np.maximum(spread, 1e-12)

    def height(terms: FloatArray) -> float:
        logits = offset + design @ terms
        fit = weights @ (target * logits - np.logaddexp(0.0, logits))
        return float(fit - 0.5 * ridge @ (terms - start) ** 2)

    terms, reached = start, height(start)
    for _ in range(MAX_STEPS):
        p = expit(offset + design @ terms)
        gradient = design.T @ (weights * (target - p)) - ridge * (terms - start)
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        # next to probabilities of 0 or 1 a full step overshoots; elsewhere it is taken as it is
        while height(terms + step) < reached - 1e-10 * abs(reached) and np.abs(step).max() > 1e-10:
            step = step / 2
        terms = terms + step
        reached = height(terms)
        if np.abs(step).max() < 1e-10:
            break
    return terms
