"""Hierarchical logistic regression: arms share what they have in common, and differ where data say so."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import FloatArray
from treatsel.models._additive import N_DRAWS, AdditiveModel
from treatsel.models._base import ByArmMixin, split_groups
from treatsel.models._curvature import Patients
from treatsel.models._encoder import Encoding
from treatsel.models._hierarchy import Hierarchy


class HierarchicalClassifier(ByArmMixin, ClassifierMixin, BaseEstimator):
    """Logistic regression in which arms borrow from each other as far as the data allow.

    logit p_k(x) = a + a_k + h(x)'b + h(x)'g_k (+ u_site + v_site,k), where h(x) are standardised numbers,
    categories and missing indicators, and numbers may bend at their quartiles in what all arms share (b).
    All arms are treated alike; there is no reference arm.

    Every term has a Gaussian prior. Its variance, one per kind of term, is set where the evidence is
    highest, with a weakly informative guess. The size of effect modification (g) is not set but averaged
    over, by evidence: none at all, or one of a grid, spread evenly over the covariates or sparsely, with
    heavy tails that let a single covariate stand out. So modification goes to zero where data do not
    support it, and a rare arm borrows from the others.

    Parameters
    ----------
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm.
    groups : str or None, default=None
        Column of X that names the site: a random intercept and a random site x arm effect, never a
        predictor. Predictions are for a site that was not seen; they do not need the column.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms, sorted.
    classes_ : ndarray of shape (2,)
        Outcomes; the second is the event.
    p_modification_ : float
        Weight of the models in which effects differ between patients at all (prior: 0.8): the
        probability that tailoring matters. It leans upwards, since the evidence of sparse models is
        counted generously: expect some .4 where there is nothing to find among 4,000 patients, and more
        among fewer. NaN for a single arm.
    modification_ : DataFrame
        The posteriors that are averaged: size (standard deviation over patients of an arm's effect
        modification, in logits), sparse, and weight.
    prior_ : Series
        Prior standard deviations, in logits: of arms, of each kind of term, of sites.

    Notes
    -----
    Deterministic: there is no cross-validation and no randomness. The design matrix is added up in
    blocks, so memory grows with the patient table only.

    References
    ----------
    MacKay (1992), Neural Computation 4(3), 415-447. doi:10.1162/neco.1992.4.3.415 (evidence)
    Tipping (2001), J Machine Learning Research 1, 211-244. (one variance per covariate)
    Hoeting et al. (1999), Statistical Science 14(4), 382-417. doi:10.1214/ss/1009212519 (averaging)

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = HierarchicalClassifier().fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    >>> model.predict_by_arm(X.head(1)).shape
    (1, 2)
    """

    def __init__(self, *, arm: str | None = "arm", groups: str | None = None) -> None:
        self.arm = arm
        self.groups = groups

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "HierarchicalClassifier":
        """Fit the model.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates, the arm column, and the column of sites if `groups` names one.
        y : array-like of shape (n_patients,)
            Outcome, 0 or 1.
        sample_weight : array-like of shape (n_patients,), optional
            Weights, not negative; a weight of 2 is a patient who stands there twice.

        Raises
        ------
        InputError
            If the arm column is missing, an arm has only one class of outcome, or y is not 0/1.
        """
        X, sites = split_groups(X, self.groups, sample_weight)
        covariates, received, y, weights = self._start_fit(X, y, sample_weight)
        self.encoding_ = Encoding.learn(covariates, weights, native_missing=False, knots=True)
        codes = pd.Index(self.arms_).get_indexer(received)
        n_arms = len(self.arms_)
        patients = Patients(
            covariates, self.encoding_, arms=codes, y=y, weights=weights, n_arms=n_arms, sites=sites
        )
        hierarchy = Hierarchy.learn(patients, self.encoding_)
        self.p_modification_, self.modification_ = hierarchy.p_modification, hierarchy.modification
        self.prior_ = hierarchy.prior
        draws = hierarchy.draw(N_DRAWS)
        draws[:, :, 0] += hierarchy.draw_sites(N_DRAWS)
        self._additive = AdditiveModel(
            encoding=self.encoding_,
            arms_=self.arms_,
            intercept=hierarchy.terms[:, 0],
            coefficients=hierarchy.terms[:, 1:],
            draws=draws.astype(np.float32),
        )
        return self

    def predict_by_arm(self, X: Any) -> pd.DataFrame:
        """Return outcome probabilities, averaged over the posterior: DataFrame (n_patients, n_arms)."""
        covariates = self._covariates(X)
        return self._additive.predict_by_arm(covariates)

    def predict_draws(self, X: Any) -> FloatArray:
        """Return posterior draws of the probabilities, shape (n_draws, n_patients, n_arms).

        Arms in the order of `arms_`. They vary with what is not known: the terms, the site, and values
        that are missing.
        """
        covariates = self._covariates(X)
        return self._additive.predict_draws(covariates)

    def additive(self) -> AdditiveModel:
        """Return the fitted model as sums of terms on the logit scale."""
        check_is_fitted(self)
        return self._additive
