"""Hierarchical logistic regression: partial pooling of arms, with the amount of pooling learned from data."""

import numpy as np
import pandas as pd

from treatsel.additive import AdditiveModel, Encoding
from treatsel.models._posterior import N_DRAWS
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._hierarchy import Hierarchy
from treatsel.models.hierarchical._sited import SitedClassifier


class HierarchicalClassifier(SitedClassifier):
    """Logistic regression with partial pooling of the arms (empirical Bayes).

    logit p_k(x) = a + a_k + h(x)'b + h(x)'g_k (+ u_site + v_site,k), where h(x) are standardized numbers,
    categories and missing indicators, and the shared effects b include hinges at the quartiles of each
    number. All arms are treated alike; there is no reference arm.

    Every term has a Gaussian prior. Its variance, one per kind of term, maximizes the evidence (marginal
    likelihood) under a weakly informative prior guess. Models with different sizes of effect modification (g)
    are averaged by evidence. The size is zero or a value of a grid, either with the same variance for all
    covariates or with one variance per covariate (sparse; heavy tails allow a single strong modifier). Effect
    modification therefore shrinks to zero if the data do not support it, and a rare arm borrows strength from
    the others.

    Parameters
    ----------
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm.
    groups : str or None, default=None
        Column of X that identifies the site, for a random intercept and a random site-by-arm effect; it is
        not a predictor. Predictions are for a new site and do not need the column.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms, sorted.
    classes_ : ndarray of shape (2,)
        Outcomes; the second is the event.
    p_modification_ : float
        Posterior probability of the models in which effects differ between patients (prior: 0.8). It is
        biased upward, since the evidence of sparse models is overestimated: without any effect modification,
        expect about 0.4 with 4,000 patients, and more with fewer. NaN for a single arm.
    modification_ : DataFrame
        The posteriors that are averaged: size (standard deviation over patients of an arm's effect
        modification, in logits), sparse, and weight.
    prior_ : Series
        Prior standard deviations, in logits: of arms, of each kind of term, of sites.

    Notes
    -----
    Posterior draws reflect the uncertainty of terms, site and missing values.

    Deterministic: there is no cross-validation and no randomness. Sums over the design matrix are computed
    in blocks, so memory grows with the patient table only.

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

    def _learn(
        self, patients: Patients, encoding: Encoding, index: pd.Index
    ) -> tuple[Hierarchy, AdditiveModel]:
        hierarchy = Hierarchy.learn(patients, encoding)
        draws = hierarchy.draw(N_DRAWS)
        draws[:, :, 0] += hierarchy.draw_sites(N_DRAWS)
        additive = AdditiveModel(
            encoding=encoding,
            arms_=self.arms_,
            intercept=hierarchy.terms[:, 0],
            coefficients=hierarchy.terms[:, 1:],
            coefficient_draws=draws.astype(np.float32),
        )
        return hierarchy, additive
