"""Posterior draws of several outcomes of the same patients, correlated as the outcomes are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray
from treatsel.errors import InputError

_SEED = 9  # first number of all seeds here; other modules use 0 to 8
# second number of a seed: what is drawn. Each has a random stream of its own in every outcome
TERMS, PRIOR, COMPONENTS, SITES, NEW_SITE, WEIGHTS, CHOICES, MISSED, FOLDS, RARE = range(10)
TOLERANCE = 1e-10  # variance, of 1, below which an outcome is a linear combination of those before it


@dataclass(frozen=True, kw_only=True)
class JointDraws:
    """Random numbers for the draws of one of several outcomes: row i of all outcomes belongs together.

    Models of outcomes A and B that are fitted to the same patients have the estimates

        cov(A, B) = inv(H_A) sum_i(s_iA s_iB') inv(H_B),

    where s_i are the scores of patient i. With the same covariates this is about rho L_A L_B', where rho is
    the correlation of the residuals and L L' the covariance of each estimate. A model draws its terms as
    m + L z with standard normal z; here z_A and z_B have the correlation rho. In the linear model with a
    conjugate prior, the joint posterior has exactly this form. The draws of each outcome alone have the
    distribution that they have without `JointDraws`.

    Attributes
    ----------
    number : int
        Position of the outcome.
    loadings : tuple of float
        Row of the Cholesky factor of the correlation of the residuals; squares sum to 1. Only outcomes up to
        `number` have a loading, so that further outcomes do not change the draws of earlier ones.
    choices : tuple of float
        The same for squared correlations, by which the models behind a draw (the component of an average, the
        prior variances) are chosen jointly: their dependence has no sign.
    arms : tuple
        Arms in the order in which all outcomes number them; empty: as in each model.

    References
    ----------
    Zellner (1962), JASA 57(298), 348-368. doi:10.1080/01621459.1962.10480664 (estimates of several outcomes)
    Tiao & Zellner (1964), J Royal Statistical Society B 26(2), 277-285.
    doi:10.1111/j.2517-6161.1964.tb00560.x (joint posterior)

    Examples
    --------
    >>> one, two = JointDraws.of([[1.0, 0.6], [0.6, 1.0]])
    >>> draws = [each.normal(0, shape=(20000,)) for each in (one, two)]
    >>> np.corrcoef(draws)[0, 1].round(1)
    np.float64(0.6)
    """

    number: int = 0
    loadings: tuple[float, ...] = (1.0,)
    choices: tuple[float, ...] = (1.0,)
    arms: tuple[Any, ...] = ()

    @classmethod
    def of(cls, correlation: Any, arms: Sequence[Any] = ()) -> list["JointDraws"]:
        """Return the random numbers of each outcome.

        Parameters
        ----------
        correlation : array-like of shape (n_outcomes, n_outcomes)
            Correlation of the residuals of the outcomes, -1 to 1, positive semidefinite.
        arms : sequence
            Arms, in an order that is the same for all outcomes and does not depend on their labels.

        Raises
        ------
        InputError
            If the matrix is not a correlation matrix.
        """
        matrix = _checked(correlation)
        roots = _factor(matrix), _factor(matrix**2)  # the squares are semidefinite as well (Schur)
        return [
            cls(number=j, loadings=tuple(a.tolist()), choices=tuple(b.tolist()), arms=tuple(arms))
            for j, (a, b) in enumerate(zip(*roots, strict=True))
        ]

    def normal(self, *key: int, shape: tuple[int, ...]) -> FloatArray:
        """Return standard normal numbers of a random stream, which is named by whole numbers.

        With the same key and shape, those of two outcomes have their correlation.
        """
        return self._mixed(self.loadings, key, shape)

    def order(self, *key: int, n: int) -> npt.NDArray[np.intp]:
        """Return a random order of n draws, which are then divided among models (Gaussian copula)."""
        return np.argsort(self._mixed(self.choices, key, (n,)), kind="stable")

    def generator(self, *key: int) -> np.random.Generator:
        """Return a random generator of this outcome alone."""
        return np.random.default_rng([_SEED, self.number, *key])

    def numbers_of(self, arms: Sequence[Any] | np.ndarray) -> npt.NDArray[np.intp]:
        """Return the number of each arm of a model in the order of all outcomes."""
        known = {arm: number for number, arm in enumerate(self.arms)}
        return np.array([known.get(arm, place) for place, arm in enumerate(arms)], dtype=np.intp)

    @staticmethod
    def _mixed(weights: Sequence[float], key: tuple[int, ...], shape: tuple[int, ...]) -> FloatArray:
        found = np.zeros(shape)
        for stream, weight in enumerate(weights):
            if weight:
                found += weight * np.random.default_rng([_SEED, stream, *key]).standard_normal(shape)
        return found


def _checked(correlation: Any) -> FloatArray:
    """Return a correlation matrix as an array."""
    matrix = np.asarray(correlation, dtype=np.float64)
    is_square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and len(matrix) > 0
    if not is_square or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        raise InputError("correlation must be a symmetric table of finite numbers, one row per outcome.")
    if not np.allclose(np.diag(matrix), 1.0) or np.linalg.eigvalsh(matrix).min() < -1e-8:
        raise InputError("correlation must have 1 on its diagonal and no negative eigenvalue.")
    return matrix


def _factor(matrix: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor of a correlation matrix, which may be singular."""
    found = np.zeros_like(matrix)
    for j in range(len(matrix)):
        rest = matrix[j:, j] - found[j:] @ found[j]
        if rest[0] > TOLERANCE:
            found[j:, j] = rest / np.sqrt(rest[0])
    return np.asarray(found / np.sqrt((found**2).sum(axis=1, keepdims=True)))
