"""The form that every model of the house ends in: a logit that is a sum.

logit p_k(x) = intercept_k + sum of linear terms + sum of trees.  Exact explanation, the model file and
scoring all read this one structure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel.errors import UnsupportedModelError
from treatsel.models._encoder import Encoding
from treatsel.models._trees import Trees

N_DRAWS = 1000


@dataclass(frozen=True, eq=False, kw_only=True)
class AdditiveModel:
    """A fitted model of one outcome: an encoding, and one additive logit per arm.

    Attributes
    ----------
    encoding : Encoding
        Turns covariates into the matrix.
    arms_ : ndarray of shape (n_arms,)
        Arms, in the order of everything below.
    intercept : ndarray of shape (n_arms,)
        Logit of a patient whose matrix is all zero.
    coefficients : ndarray of shape (n_arms, n_features)
        Linear terms; zero for a model of trees alone.
    trees : Trees or None
        Ensembles of trees: the tree terms.
    mixing : ndarray of shape (n_arms, n_members)
        What each ensemble counts in each arm's logit.
    draws : ndarray of shape (n_draws, n_arms, 1 + n_features + n_members) or None
        Draws of (intercept, coefficients, mixing) from their posterior; None where the learner gives none.
    """

    encoding: Encoding
    arms_: np.ndarray
    intercept: FloatArray
    coefficients: FloatArray
    trees: Trees | None = None
    mixing: FloatArray | None = None
    draws: FloatArray | None = None

    @property
    def is_linear(self) -> bool:
        """Whether there are linear terms (a matrix with missing values has none)."""
        return not self.encoding.native_missing

    def additive(self) -> "AdditiveModel":
        """Return this model: it is in additive form."""
        return self

    def trees_of(self, k: int) -> Trees | None:
        """Return the tree terms of arm number `k` as one ensemble."""
        return None if self.trees is None or self.mixing is None else self.trees.weighted(self.mixing[k])

    def logit(self, matrix: FloatArray) -> FloatArray:
        """Return logits, shape (n_patients, n_arms), of an encoded matrix."""
        logits = np.tile(self.intercept, (len(matrix), 1))
        if self.is_linear:
            # a sum over one axis at a time, so that a patient's logit does not depend on who stands beside
            logits += np.einsum("np,kp->nk", matrix, self.coefficients)
        if self.trees is not None and self.mixing is not None:
            logits += np.einsum("nm,km->nk", self.trees.score(matrix), self.mixing)
        return logits

    def predict_by_arm(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return probabilities, DataFrame of shape (n_patients, n_arms)."""
        probability = expit(self.logit(self.encoding.encode(X)))
        return pd.DataFrame(probability, index=X.index, columns=pd.Index(self.arms_))

    def predict_draws(self, X: pd.DataFrame) -> FloatArray:
        """Return posterior draws of the probabilities, shape (n_draws, n_patients, n_arms).

        A value that is missing is drawn anew, from the development cohort's spread, in each draw, so that
        intervals widen with what is not known about a patient.
        """
        if self.draws is None:
            raise UnsupportedModelError("This model gives no posterior draws; a penalised logistic one does.")
        draws = self.draws.astype(np.float64)
        terms = self.encoding.encode(X)
        if self.trees is not None:
            terms = np.column_stack([terms, self.trees.score(terms)])
        logits = np.einsum("np,dkp->dnk", terms, draws[:, :, 1:], optimize=True)
        logits += draws[:, None, :, 0]
        missing = self.encoding.missing(X)
        for j in np.flatnonzero(missing.any(axis=0)):
            noise = self.encoding.departures(int(j), len(draws))
            columns = 1 + np.flatnonzero(self.encoding.sources == j)[: noise.shape[1]]
            effect = np.einsum("dp,dkp->dk", noise, draws[:, :, columns])
            logits += missing[:, j, None] * effect[:, None, :]
        return np.asarray(expit(logits, out=logits))


@dataclass(frozen=True, eq=False)
class Posterior:
    """Laplace approximation of a penalised logistic posterior: the optimum and the curvature there.

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
            Prior precision of each coefficient: the ridge penalty; 0 where there is none.
        """
        p = expit(design @ mean)
        curvature = design.T @ (design * (weights * p * (1 - p))[:, None])
        return cls(mean, curvature + np.diag(precision))

    def draw(self, *, stream: int = 0, n_draws: int = N_DRAWS) -> FloatArray | None:
        """Return draws, shape (n_draws, n_terms), in pairs that mirror each other at the mean.

        One fixed stream: the draws are part of the model, not of the user's randomness. Models that
        were fitted apart need streams of their own. None where the posterior is not proper.
        """
        try:
            factor = np.linalg.cholesky(self.hessian)
        except np.linalg.LinAlgError:
            return None
        half = np.random.default_rng([0, stream]).standard_normal((len(self.mean), n_draws // 2))
        steps = np.linalg.solve(factor.T, half).T
        return np.asarray(self.mean + np.concatenate([steps, -steps]))


def posterior_of(fitted: Any, matrix: FloatArray, weights: FloatArray) -> Posterior | None:
    """Return the posterior of a fitted LogisticRegression; None where its penalty is no Gaussian prior."""
    mean = np.concatenate([fitted.intercept_, fitted.coef_[0]])
    precision = ridge_precision(fitted, len(mean))
    if precision is None:
        return None
    design = np.column_stack([np.ones(len(matrix)), matrix])
    return Posterior.at_optimum(design, weights, mean, precision)


def ridge_precision(estimator: Any, n_terms: int) -> FloatArray | None:
    """Return the prior precisions that a fitted LogisticRegression's penalty stands for.

    None where the penalty is no Gaussian prior (lasso, elastic net, class weights).
    """
    parameters = estimator.get_params()
    penalty, l1_ratio = parameters.get("penalty", "l2"), _chosen(estimator, "l1_ratio")
    if parameters.get("class_weight") is not None or penalty == "elasticnet" or penalty == "l1":
        return None
    if l1_ratio not in (None, 0, 0.0) or not parameters.get("fit_intercept", True):
        return None
    c = _chosen(estimator, "C")
    ridge = 0.0 if penalty is None or c is None else 1.0 / c
    of_intercept = (
        ridge / parameters["intercept_scaling"] ** 2 if parameters["solver"] == "liblinear" else 0.0
    )
    return np.concatenate([[of_intercept], np.full(n_terms - 1, ridge)])


def _chosen(estimator: Any, name: str) -> float | None:
    """Return the value of a parameter: the one given or, of LogisticRegressionCV, the one chosen."""
    given = estimator.get_params().get(name)
    value = getattr(estimator, f"{name}_", given)
    return None if value is None else float(np.ravel(np.asarray(value, dtype=object))[0] or 0.0)


def stack_arms(models: Sequence[FloatArray | None]) -> FloatArray | None:
    """Join draws of arms that were fitted apart; None if any arm has none."""
    if any(draws is None for draws in models):
        return None
    return np.stack([draws for draws in models if draws is not None], axis=1)
