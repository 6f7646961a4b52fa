"""Maximum likelihood of a logistic model with offsets and weights, also where no finite maximum exists."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from treatsel._checks import FloatArray

LEAST_SHARE = 1e-10  # singular values below this share of the largest are columns made of others
MOST_STEPS = 100
REACHED = 1e-11  # what another step could still add to the log-likelihood
STEADY = 1e-3  # on the logit scale; an estimate whose last step is longer runs away


@dataclass(frozen=True, eq=False, kw_only=True)
class Maximum:
    """Where a logistic log-likelihood is highest.

    Attributes
    ----------
    coefficients : ndarray of shape (n_terms,)
        Shortest of those that reach it.
    root : ndarray of shape (n_terms, n_terms)
        Symmetric square root of their covariance.
    log_likelihood : float
        Its height; where there is no maximum, its least upper bound.
    rank : int
        Number of parameters: columns of the design that are no combination of others.
    exists : bool
        False where predictors separate the classes: the coefficients are then infinite, and those given
        come near the bound.
    """

    coefficients: FloatArray
    root: FloatArray
    log_likelihood: float
    rank: int
    exists: bool

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the coefficients, shape (n_terms, n_terms)."""
        return np.asarray(self.root @ self.root.T)


def maximize(
    design: FloatArray, outcome: FloatArray, weights: FloatArray, offset: FloatArray | float = 0.0
) -> Maximum:
    """Climb the log-likelihood of a logistic regression by Newton's method with step halving.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models. doi:10.1007/978-1-4899-3242-6
    Albert & Anderson (1984), Biometrika 71(1), 1-10. doi:10.1093/biomet/71.1.1 (existence)
    """
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > LEAST_SHARE * max(singular.max(initial=0.0), 1e-300)
    basis, back = left[:, kept], right[kept].T / singular[kept]
    linear = np.broadcast_to(np.asarray(offset, dtype=float), outcome.shape)
    solution, height, exists = np.zeros(int(kept.sum())), log_likelihood(linear, outcome, weights), True
    for _ in range(MOST_STEPS if kept.any() else 0):
        gradient = basis.T @ (weights * (outcome - expit(linear)))
        step = np.linalg.lstsq(_information(basis, linear, weights), gradient, rcond=None)[0]
        move = basis @ step
        longest = float(np.abs(move).max(initial=0.0))
        last, exists = float(gradient @ step) < REACHED, longest < STEADY
        length = 1.0
        while (reached := log_likelihood(linear + length * move, outcome, weights)) < height - 1e-12 * abs(
            height
        ):
            length /= 2
        solution, linear, height = solution + length * step, linear + length * move, reached
        if last:
            break
    inverse = np.linalg.pinv(_information(basis, linear, weights), rcond=1e-300, hermitian=True)
    values, vectors = np.linalg.eigh(back @ inverse @ back.T)
    root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    return Maximum(
        coefficients=back @ solution,
        root=root,
        log_likelihood=height,
        rank=int(kept.sum()),
        exists=exists,
    )


def log_likelihood(linear: FloatArray, outcome: FloatArray, weights: FloatArray) -> float:
    """Return the log-likelihood of 0/1 outcomes at these logits."""
    return float(-weights @ np.logaddexp(0.0, np.where(outcome == 1, -linear, linear)))


def _information(basis: FloatArray, linear: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(basis.T @ (basis * (weights * expit(linear) * expit(-linear))[:, None]))
