"""Posterior draws of penalized logistic regressions (Laplace approximation)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel.models._joint import TERMS, JointDraws

# The Monte Carlo error of a 95 % limit is sqrt(0.025 x 0.975 / 1000) / 0.058, 8 % of the posterior SD.
N_DRAWS = 1000
FEW_DRAWS = 40  # of a model whose predictions alone are used; each of several imputed tables has some
MAX_TERMS = (
    3000  # beyond it, the covariance of the terms takes more than 72 MB and a minute; there are no draws
)


_number: ContextVar[int] = ContextVar("number of draws", default=N_DRAWS)


@contextmanager
def few_draws() -> Iterator[None]:
    """Make few posterior draws in models fitted inside; these take a third of the time of a fit.

    Predictions do not depend on the draws. Intervals do: they are of no use for such models.
    """
    token = _number.set(FEW_DRAWS)
    try:
        yield
    finally:
        _number.reset(token)


@contextmanager
def all_draws() -> Iterator[None]:
    """Make all draws in models fitted inside, within `few_draws`: what follows rests on them."""
    token = _number.set(N_DRAWS)
    try:
        yield
    finally:
        _number.reset(token)


def number_of_draws() -> int:
    """Return how many posterior draws a model has that is fitted now."""
    return _number.get()


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Laplace approximation of a penalized logistic posterior: mode and curvature.

    References
    ----------
    MacKay (1992), Neural Computation 4(5), 720-736. doi:10.1162/neco.1992.4.5.720
    """

    mean: FloatArray
    hessian: FloatArray

    @classmethod
    def at_optimum(
        cls, design: FloatArray, weights: FloatArray, mean: FloatArray, precision: FloatArray
    ) -> "Posterior":
        """Return the posterior of coefficients that were fitted with a ridge penalty.

        Parameters
        ----------
        design : ndarray of shape (n_patients, n_terms)
            Design matrix with its column of ones.
        weights : ndarray of shape (n_patients,)
            Sample weights.
        mean : ndarray of shape (n_terms,)
            Coefficients at the optimum.
        precision : ndarray of shape (n_terms,)
            Prior precision of each coefficient: the ridge penalty; 0 without penalty.
        """
        p = expit(design @ mean)
        curvature = design.T @ (design * (weights * p * (1 - p))[:, None])
        return cls(mean, curvature + np.diag(precision))

    def draw(
        self, *, stream: int = 0, n_draws: int = N_DRAWS, joint: JointDraws | None = None
    ) -> FloatArray | None:
        """Return draws, shape (n_draws, n_terms), in antithetic pairs around the mean.

        The random stream is fixed: the draws are part of the model. Models that were fitted separately need
        different streams. `joint`: random numbers that depend on those of other outcomes. None if the
        posterior is improper.
        """
        try:
            factor = np.linalg.cholesky(self.hessian)
        except np.linalg.LinAlgError:
            return None
        shape = (len(self.mean), n_draws // 2)
        if joint is None:
            half = np.random.default_rng([0, stream]).standard_normal(shape)
        else:
            half = joint.normal(TERMS, stream, shape=shape)
        steps = np.linalg.solve(factor.T, half).T
        return np.asarray(self.mean + np.concatenate([steps, -steps]))


def posterior_of(fitted: Any, matrix: FloatArray, weights: FloatArray) -> Posterior | None:
    """Return the posterior of a fitted LogisticRegression; None if its penalty is not a Gaussian prior."""
    mean = np.concatenate([fitted.intercept_, fitted.coef_[0]])
    precision = ridge_precision(fitted, len(mean))
    if precision is None or len(mean) > MAX_TERMS:
        return None
    design = np.column_stack([np.ones(len(matrix)), matrix])
    return Posterior.at_optimum(design, weights, mean, precision)


def ridge_precision(estimator: Any, n_terms: int) -> FloatArray | None:
    """Return the prior precisions that correspond to a fitted LogisticRegression's penalty.

    None if the penalty is not a Gaussian prior (lasso, elastic net) or there are class weights.
    """
    parameters = estimator.get_params()
    penalty, l1_ratio = parameters.get("penalty", "l2"), _chosen(estimator, "l1_ratio")
    if parameters.get("class_weight") is not None or penalty == "elasticnet" or penalty == "l1":
        return None
    if l1_ratio not in (None, 0, 0.0) or not parameters.get("fit_intercept", True):
        return None
    c = _chosen(estimator, "C")
    ridge = 0.0 if penalty is None or c is None else 1.0 / c
    # liblinear penalizes the intercept as the coefficient of a constant column, intercept_scaling
    of_intercept = (
        ridge / parameters["intercept_scaling"] ** 2 if parameters["solver"] == "liblinear" else 0.0
    )
    return np.concatenate([[of_intercept], np.full(n_terms - 1, ridge)])


def _chosen(estimator: Any, name: str) -> float | None:
    """Return the value of a parameter: as given or, in LogisticRegressionCV, as chosen."""
    given = estimator.get_params().get(name)
    value = getattr(estimator, f"{name}_", given)
    return None if value is None else float(np.ravel(np.asarray(value, dtype=object))[0] or 0.0)


def stack_arms(models: Sequence[FloatArray | None]) -> FloatArray | None:
    """Join draws of arms that were fitted separately; None if any arm has none."""
    if any(draws is None for draws in models):
        return None
    return np.stack([draws for draws in models if draws is not None], axis=1)
