"""Additive form of fitted models: for each arm, a logit that is a sum of terms.

logit p_k(x) = intercept_k + sum of linear terms + sum of trees.  Scoring, exact explanations and the model
file all use this structure.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel._reporting.summary import Summarized
from treatsel.additive._encoder import Encoding
from treatsel.additive._numeric import logistic, softmax
from treatsel.additive._score import ScoreLevels
from treatsel.additive._scoring import score_trees
from treatsel.additive._sites import Numbers, SiteEffects
from treatsel.additive._trees import Trees
from treatsel.errors import UnsupportedModelError

if TYPE_CHECKING:
    import pandas as pd

# With a propensity below 1 in 50, such patients rarely received the arm: its prediction is extrapolated, and
# the weight of such a patient would exceed 50. Two-arm studies are trimmed at 0.1 (Crump et al. 2009,
# doi:10.1093/biomet/asn055); with several arms the mean propensity is lower, and so is this threshold.
LOW_PROPENSITY = 0.02


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdditiveModel(Summarized):
    """A fitted model of one outcome: an encoding, and one additive logit per arm.

    Attributes
    ----------
    encoding : Encoding
        Maps covariates to the matrix.
    arms_ : ndarray of shape (n_arms,)
        Arms, in the order of all arrays.
    intercept : ndarray of shape (n_arms,)
        Logit of a patient whose row of the matrix is zero.
    coefficients : ndarray of shape (n_arms, n_features)
        Linear terms; zero for a model of trees alone.
    trees : Trees or None
        Ensembles of trees: the tree terms.
    mixing : ndarray of shape (n_arms, n_members)
        Weight of each ensemble in each arm's logit.
    coefficient_draws : ndarray of shape (n_draws, n_arms, 1 + n_features + n_members) or None
        Draws of (intercept, coefficients, mixing) from their posterior; None if the learner gives none.
    sites : SiteEffects or None
        Known sites. `intercept`, `coefficients` and the draws are those for a new site. None: the learner
        has no site effects.
    score : ScoreLevels or None
        Levels of the score behind the outcome; None: the model was fitted to 0/1 outcomes.
    joint : bool
        Whether the draws are joint with those of the other outcomes that were fitted together: row i of each
        is a draw of all of them.
    """

    encoding: Encoding
    arms_: np.ndarray
    intercept: FloatArray
    coefficients: FloatArray
    trees: Trees | None = None
    mixing: FloatArray | None = None
    coefficient_draws: FloatArray | None = None
    sites: SiteEffects | None = None
    score: ScoreLevels | None = None
    joint: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Exclude the cached explainer from copies and pickles."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def is_linear(self) -> bool:
        """Whether there are linear terms (none with a matrix that keeps missing values)."""
        return not self.encoding.native_missing

    def additive(self) -> "AdditiveModel":
        """Return this model, which is in additive form."""
        return self

    def trees_of(self, k: int) -> Trees | None:
        """Return the tree terms of arm number `k` as one ensemble."""
        return None if self.trees is None or self.mixing is None else self.trees.weighted(self.mixing[k])

    def logit(self, matrix: FloatArray, sites: Numbers | None = None) -> FloatArray:
        """Return logits, shape (n_patients, n_arms), of an encoded matrix and the numbers of sites."""
        scores = None if self.trees is None else score_trees(self.trees, matrix)
        return self.logit_of(matrix, scores, sites)

    def sites_of(self, X: "pd.DataFrame", service: str) -> Numbers | None:
        """Return the number of each patient's site, see `SiteEffects`; None if the model knows no sites."""
        return None if self.sites is None else self.sites.numbers_of(X, service)

    def logit_of(
        self, matrix: FloatArray, scores: FloatArray | None, sites: Numbers | None = None
    ) -> FloatArray:
        """Return logits of an encoded matrix, the scores of the trees, and the numbers of sites.

        Without numbers of sites, all patients are at a new site.
        """
        # einsum instead of a BLAS product: there, the order of summation, and thus the last bits of a
        # patient's logit, depend on the number of patients
        if self.is_linear:
            logits = np.asarray(self.intercept + np.einsum("np,kp->nk", matrix, self.coefficients))
        else:
            logits = np.tile(self.intercept, (len(matrix), 1))
        if sites is not None and self.sites is not None and len(at := np.flatnonzero(sites >= 0)):
            own = self.sites
            logits[at] = own.intercept[sites[at]] + np.einsum("np,kp->nk", matrix[at], own.coefficients)
        if scores is not None and self.mixing is not None:
            logits += np.einsum("nm,km->nk", scores, self.mixing)
        return logits

    def draws_of(self, matrix: FloatArray) -> FloatArray | None:
        """Return draws of the logits of one encoded patient, shape (n_draws, n_arms); None: without draws."""
        if self.coefficient_draws is None:
            return None
        scores = [] if self.trees is None else [score_trees(self.trees, matrix)[0]]
        terms = np.concatenate([np.ones(1), matrix[0], *scores])
        used = np.flatnonzero(terms)  # few, where there are thousands of covariates
        return np.asarray(self.coefficient_draws[:, :, used].astype(np.float64) @ terms[used])

    def predict_by_arm(self, X: "pd.DataFrame", service: str = "known") -> "pd.DataFrame":
        """Return probabilities, DataFrame of shape (n_patients, n_arms).

        `service`: "known" (the patient's site, where X holds it and the model knows it; otherwise a new one),
        "average" or "new".
        """
        import pandas as pd

        probability = logistic(self.logit(self.encoding.encode(X), self.sites_of(X, service)))
        return pd.DataFrame(probability, index=X.index, columns=pd.Index(self.arms_))

    def predict_draws(self, X: "pd.DataFrame", service: str = "known") -> FloatArray:
        """Return posterior draws of the probabilities, shape (n_draws, n_patients, n_arms).

        A missing value is drawn from its distribution in the development cohort, independently in each
        draw, so that intervals account for missing values. `service`: as in `predict_by_arm`.
        """
        return np.moveaxis(logistic(self.logit_draws(X, service)), -1, 0)

    def logit_draws(
        self, X: "pd.DataFrame", service: str = "known", order: np.ndarray | None = None
    ) -> FloatArray:
        """Return posterior draws of the logits, shape (n_patients, n_arms, n_draws), as `predict_draws`.

        `order`: of the draws; None: as they are.
        """
        if self.coefficient_draws is None:
            raise UnsupportedModelError(
                "This model has no posterior draws; a logistic regression with a ridge penalty has."
            )
        draws = self.coefficient_draws.astype(np.float64)
        matrix, missing = self.encoding.encode(X), self.encoding.missing(X)
        columns = [np.ones(len(matrix)), matrix]
        if self.trees is not None:
            columns.append(score_trees(self.trees, matrix))
        absent = np.flatnonzero(missing.any(axis=0))
        terms = np.column_stack([*columns, missing[:, absent]])
        effects = [self._effect_of_missing(int(j), draws)[..., None] for j in absent]
        by_term = np.concatenate([draws, *effects], axis=2)[slice(None) if order is None else order]
        n_draws, n_arms, n_terms = by_term.shape
        logits = (terms @ by_term.transpose(2, 1, 0).reshape(n_terms, -1)).reshape(-1, n_arms, n_draws)
        sites = self.sites_of(X, service)
        if sites is not None and self.sites is not None and self.sites.draws is not None:
            at = np.flatnonzero(sites >= 0)
            own = self.sites.draws[slice(None) if order is None else order]
            logits[at] += own.transpose(1, 2, 0)[sites[at]]
        return np.asarray(logits)

    def _effect_of_missing(self, j: int, draws: FloatArray) -> FloatArray:
        """Return what a missing value of source column j adds to each draw of the logits, (n_draws, K)."""
        noise = self.encoding.departures(j, len(draws))
        columns = 1 + self.encoding.starts[j] + np.arange(noise.shape[1])
        return np.asarray(np.einsum("dp,dkp->dk", noise, draws[:, :, columns]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AssignmentModel:
    """Multinomial logistic regression of the received arm on the covariates.

    Attributes
    ----------
    encoding : Encoding
        Maps covariates to the matrix.
    arms_ : ndarray of shape (n_arms,)
        Arms, in the order of all arrays.
    intercept : ndarray of shape (n_arms,)
        Linear predictor of a patient whose row of the matrix is zero; minus infinity for an arm that no
        patient received.
    coefficients : ndarray of shape (n_arms, n_features)
        Linear terms.
    """

    encoding: Encoding
    arms_: np.ndarray
    intercept: FloatArray
    coefficients: FloatArray

    def predict_proba(self, matrix: FloatArray) -> FloatArray:
        """Return the probability of each arm, shape (n_patients, n_arms), from an encoded matrix."""
        return softmax(np.einsum("np,kp->nk", matrix, self.coefficients) + self.intercept)

    def predict_by_arm(self, X: "pd.DataFrame") -> "pd.DataFrame":
        """Return the probability of each arm, DataFrame of shape (n_patients, n_arms); rows sum to 1.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_covariates)
            Covariates, matched by name.

        Raises
        ------
        CohortError
            If a column is missing, infinite, or holds text where numbers were learned.
        """
        import pandas as pd

        probabilities = self.predict_proba(self.encoding.encode(X))
        return pd.DataFrame(probabilities, index=X.index, columns=pd.Index(self.arms_))


def additive_of(model: Any) -> AdditiveModel | None:
    """Return a fitted model as sums of terms on the logit scale, or None if it has no such form."""
    try:
        additive: AdditiveModel = model.additive()
    except (UnsupportedModelError, AttributeError):
        return None
    return additive
