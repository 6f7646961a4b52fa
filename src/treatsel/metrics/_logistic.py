"""Unpenalised logistic regression, fitted to convergence, that says when there is no maximum."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import expit

from treatsel._checks import FloatArray

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
    return float(-weights @ np.logaddexp(0.0, np.where(outcome == 1, -linear, linear)))
