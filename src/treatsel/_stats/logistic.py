"""Logistic regression by maximum likelihood with offsets and weights, also without a finite maximum."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.intervals import Interval, quantile_of
from treatsel._stats.weights import covariance_of_sums

LEAST_SHARE = 1e-10  # singular values below this share of the largest: linear dependence of columns
MOST_STEPS = 100
CONVERGED = 1e-8  # on the logit scale: Newton's method squares the error, which is then at rounding level
FLAT = 1e-11  # gain in log-likelihood, relative to the largest weight, below which no further step matters
# Where the predictors separate the classes, each step moves the nearest patient by about 1 on the logit scale
# however little it gains (e^-m falls by a factor e); near a finite maximum, steps shrink quadratically.
RUNS_AWAY = 0.1
# Logits beyond which a maximum is treated as nonexistent: it may exist where only a few patients determine
# the end of a spline, yet a probability of e^-240 only means that they all have the same outcome.
FARTHEST = 240.0
LEAST_INFORMATION = 1e-12  # of the largest weight: less is rounding error of probabilities close to 0 or 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LogisticFit:
    """Maximum-likelihood fit of a logistic regression.

    Attributes
    ----------
    coefficients : ndarray of shape (n_terms,)
        Those at the maximum; of smallest norm if columns of the design are combinations of others.
    covariance : ndarray of shape (n_terms, n_terms)
        Inverse of the Fisher information (or a robust covariance, see `clustered`).
    log_likelihood : float
        Maximum of the log-likelihood; where there is none, its least upper bound.
    rank : int
        Number of parameters: columns of the design that are not combinations of others.
    exists : bool
        False where the predictors separate the classes (Albert & Anderson 1984): the coefficients are then
        infinite, and those given come close to the bound.
    """

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    rank: int
    exists: bool

    @property
    def root(self) -> FloatArray:
        """Symmetric square root of the covariance, shape (n_terms, n_terms)."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)

    @property
    def se(self) -> FloatArray:
        """Standard errors of the coefficients."""
        errors: FloatArray = np.sqrt(np.diag(self.covariance))
        return errors

    def linear(self, design: FloatArray) -> FloatArray:
        """Return the linear predictor of new rows."""
        return np.asarray(design @ self.coefficients)

    def linear_se(self, design: FloatArray) -> FloatArray:
        """Return the standard error of the linear predictor of new rows."""
        variances: FloatArray = np.einsum("ij,ij->i", design @ self.covariance, design)
        return np.sqrt(variances)


def maximize(
    design: FloatArray, outcome: FloatArray, weights: FloatArray, offset: FloatArray | float = 0.0
) -> LogisticFit:
    """Maximize the log-likelihood by Newton's method with step halving, on an orthonormal basis of columns.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models. doi:10.1007/978-1-4899-3242-6
    Albert & Anderson (1984), Biometrika 71(1), 1-10. doi:10.1093/biomet/71.1.1 (existence)
    """
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > LEAST_SHARE * max(singular.max(initial=0.0), 1e-300)
    basis, back = left[:, kept], right[kept].T / singular[kept]
    start = np.broadcast_to(np.asarray(offset, dtype=float), outcome.shape)
    solution, exists = _climb(basis, outcome, weights, start)
    linear = start + basis @ solution
    # tiny eigenvalues are the information on coefficients that diverge: none may be cut off as rounding
    inverse = np.linalg.pinv(_information(basis, linear, weights), rcond=1e-300, hermitian=True)
    return LogisticFit(
        coefficients=back @ solution,
        covariance=back @ inverse @ back.T,
        log_likelihood=log_likelihood(linear, outcome, weights),
        rank=int(kept.sum()),
        exists=exists,
    )


def fit_logistic(
    design: FloatArray, outcome: FloatArray, weights: FloatArray, *, offset: FloatArray | float = 0.0
) -> LogisticFit | None:
    """Return the fit, or None unless there is exactly one finite maximum.

    There is none if the outcome has one class, or if the predictors separate the classes (or do so except for
    a few patients, so that fitted logits go beyond ``FARTHEST``); there are many if a column of `design`
    (which holds the intercept) is a combination of others.
    """
    lengths = np.linalg.norm(design, axis=0)
    if not outcome.any() or outcome.all() or not lengths.all():
        return None
    # columns of unit length: whether one is a combination of others must not depend on its units
    scaled = design / lengths
    fit = maximize(scaled, outcome, weights, offset)
    if fit.rank < len(lengths) or not fit.exists or np.abs(fit.linear(scaled)).max() > FARTHEST:
        return None
    if np.linalg.eigvalsh(fit.covariance)[-1] * LEAST_INFORMATION * weights.max() > 1:
        return None
    covariance = fit.covariance / np.outer(lengths, lengths)
    return replace(fit, coefficients=fit.coefficients / lengths, covariance=covariance)


def clustered(
    fit: LogisticFit,
    design: FloatArray,
    outcome: FloatArray,
    weights: FloatArray,
    codes: FloatArray,
    *,
    offset: FloatArray | None = None,
) -> LogisticFit:
    """Return the fit with a covariance that is robust to clusters; NaN with fewer than two of them."""
    linear = fit.linear(design) + (0.0 if offset is None else offset)
    scores = design * (weights * (outcome - expit(linear)))[:, None]
    return replace(fit, covariance=fit.covariance @ covariance_of_sums(scores, codes) @ fit.covariance)


def profile_limits(
    fit: LogisticFit,
    design: FloatArray,
    outcome: FloatArray,
    weights: FloatArray,
    *,
    column: int,
    level: float,
    offset: FloatArray | None = None,
) -> Interval:
    """Return the profile-likelihood limits of one coefficient.

    All values that a likelihood-ratio test does not reject (Venzon & Moolgavkar 1988, doi:10.2307/2347496).
    """
    others = np.delete(design, column, axis=1)
    start = np.zeros(len(outcome)) if offset is None else offset
    linear = start + fit.linear(design)
    along = design @ (fit.covariance[column] / fit.covariance[column, column])  # with the others adjusting
    z = quantile_of(level)

    @cache
    def above(value: float) -> float:
        """Return z minus the root of the likelihood-ratio statistic: nearly linear in the coefficient."""
        fixed = linear + (value - best) * along
        height = log_likelihood(fixed, outcome, weights)
        if others.shape[1]:
            rest = fit_logistic(others, outcome, weights, offset=fixed)
            height = -np.inf if rest is None else rest.log_likelihood
        return z - float(np.sqrt(2 * max(fit.log_likelihood - height, 0.0)))

    best, reach = float(fit.coefficients[column]), float(z * fit.se[column])
    return Interval(_crossing(above, best, -reach), _crossing(above, best, reach))


def _crossing(above: Callable[[float], float], best: float, reach: float) -> float:
    """Return where `above`, positive at `best`, falls to 0 in the direction of `reach`."""
    near, far = best, best + reach
    while above(far) > 0:
        near, far, reach = far, far + reach, 2 * reach
    while not np.isfinite(above(far)):
        far = (near + far) / 2
    return float(brentq(above, near, far, xtol=1e-9, rtol=1e-12)) if above(far) < 0 else far


def _climb(
    basis: FloatArray, outcome: FloatArray, weights: FloatArray, offset: FloatArray
) -> tuple[FloatArray, bool]:
    """Return the coefficients of an orthonormal basis, and whether they are at a maximum."""
    current, linear = np.zeros(basis.shape[1]), offset
    height, flat = log_likelihood(linear, outcome, weights), FLAT * float(weights.max(initial=0.0))
    if not basis.shape[1]:
        return current, True
    for _ in range(MOST_STEPS):
        gradient = basis.T @ (weights * (outcome - expit(linear)))
        # least squares, because close to separation the information is numerically singular
        step = np.linalg.lstsq(_information(basis, linear, weights), gradient, rcond=None)[0]
        move = basis @ step
        longest, gain = float(np.abs(move).max(initial=0.0)), float(gradient @ step)
        if longest < CONVERGED:
            return current + step, True
        length = 1.0
        # rounding error may lower the sum by a few units in its last places
        while (reached := log_likelihood(linear + length * move, outcome, weights)) < height - 1e-12 * abs(
            height
        ):
            length /= 2
        current, linear, height = current + length * step, linear + length * move, reached
        if gain < flat and longest > RUNS_AWAY:
            break
    return current, longest < RUNS_AWAY


def log_likelihood(linear: FloatArray, outcome: FloatArray, weights: FloatArray) -> float:
    """Return the log-likelihood of 0/1 outcomes at these logits."""
    return float(-weights @ np.logaddexp(0.0, np.where(outcome == 1, -linear, linear)))


def _information(basis: FloatArray, linear: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(basis.T @ (basis * (weights * expit(linear) * expit(-linear))[:, None]))
