"""Unpenalised logistic regression, fitted to convergence, that says when there is no maximum."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import brentq
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.intervals import Interval, quantile_of

MAX_STEPS = 30
LONGEST_STEP = 10.0  # on the logit scale
CONVERGED = 1e-8  # on the logit scale; the last step squares the error
LEAST_INFORMATION = 1e-12  # below this the estimate ran away until the arithmetic gave out
LEAST_DIAGONAL = 1e-10  # below this share of a column's length it is a combination of the others


@dataclass(frozen=True, kw_only=True)
class LogisticFit:
    """Coefficients, their covariance, and the log-likelihood at them."""

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float

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


def fit_logistic(
    design: FloatArray, outcome: FloatArray, weights: FloatArray, *, offset: FloatArray | None = None
) -> LogisticFit | None:
    """Return the maximum-likelihood fit, or None if there is none.

    There is none if the outcome has one class, if the predictors separate the classes, or if a column of
    `design` (which holds the intercept) is a combination of others. Newton's method on an orthonormal
    basis of the columns, with step halving (McCullagh & Nelder 1989, doi:10.1007/978-1-4899-3242-6).
    """
    basis, upper = np.linalg.qr(design)
    lengths = np.linalg.norm(design, axis=0)
    if len(design) < design.shape[1] or (np.abs(np.diag(upper)) <= LEAST_DIAGONAL * lengths).any():
        return None
    if not outcome.any() or outcome.all():
        return None
    start = np.zeros(len(outcome)) if offset is None else offset
    solution = _climb(basis, outcome, weights, start)
    if solution is None:
        return None
    inverse = solve_triangular(upper, np.eye(len(upper)))
    information = _information(basis, weights, start + basis @ solution)
    if np.linalg.eigvalsh(information)[0] < LEAST_INFORMATION * weights.max():
        return None
    return LogisticFit(
        coefficients=inverse @ solution,
        covariance=inverse @ np.linalg.inv(information) @ inverse.T,
        log_likelihood=_log_likelihood(outcome, weights, start + basis @ solution),
    )


def clustered(
    fit: LogisticFit,
    design: FloatArray,
    outcome: FloatArray,
    weights: FloatArray,
    codes: FloatArray,
    *,
    offset: FloatArray | None = None,
) -> LogisticFit:
    """Return the fit with a covariance that is robust to clusters; NaN with fewer than two of them.

    The sandwich of the cluster sums of the scores, times G / (G - 1) with G clusters (Liang & Zeger 1986,
    doi:10.1093/biomet/73.1.13; Cameron & Miller 2015, doi:10.3368/jhr.50.2.317).
    """
    linear = fit.linear(design) + (0.0 if offset is None else offset)
    scores = design * (weights * (outcome - expit(linear)))[:, None]
    position = np.unique(codes, return_inverse=True)[1]
    sums = np.column_stack([np.bincount(position, weights=column) for column in scores.T])
    count = len(sums)
    if count < 2:
        return replace(fit, covariance=np.full_like(fit.covariance, np.nan))
    middle = count / (count - 1) * sums.T @ sums
    return replace(fit, covariance=fit.covariance @ middle @ fit.covariance)


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
    along = design @ (fit.covariance[column] / fit.covariance[column, column])  # the others move along
    z = quantile_of(level)

    @cache
    def above(value: float) -> float:
        """Return the distance from the limit, as a signed root: nearly linear in the coefficient."""
        fixed = linear + (value - best) * along
        height = _log_likelihood(outcome, weights, fixed)
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
) -> FloatArray | None:
    current = np.zeros(basis.shape[1])
    linear = offset
    height = _log_likelihood(outcome, weights, linear)
    for _ in range(MAX_STEPS):
        gradient = basis.T @ (weights * (outcome - expit(linear)))
        try:
            step = np.linalg.solve(_information(basis, weights, linear), gradient)
        except np.linalg.LinAlgError:
            return None
        longest = np.abs(basis @ step).max()
        if not np.isfinite(longest):
            return None
        if longest < CONVERGED:
            return np.asarray(current + step)
        step *= min(1.0, LONGEST_STEP / longest)
        while (reached := _log_likelihood(outcome, weights, linear + basis @ step)) < height - 1e-12 * abs(
            height
        ):
            step /= 2
        current, linear, height = current + step, linear + basis @ step, reached
    return None  # the classes are separated: the estimate runs away by a steady step


def _information(basis: FloatArray, weights: FloatArray, linear: FloatArray) -> FloatArray:
    return np.asarray(basis.T @ (basis * (weights * expit(linear) * expit(-linear))[:, None]))


def _log_likelihood(outcome: FloatArray, weights: FloatArray, linear: FloatArray) -> float:
    against = np.where(outcome == 1, -linear, linear)
    return float(-weights @ (np.maximum(against, 0.0) + np.log1p(np.exp(-np.abs(against)))))
