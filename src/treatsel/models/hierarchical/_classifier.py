"""Hierarchical logistic regression: partial pooling of arms, with the amount of pooling learned from data."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from treatsel.additive import AdditiveModel, Encoding
from treatsel.models._joint import JointDraws
from treatsel.models._posterior import number_of_draws
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._hierarchy import Hierarchy
from treatsel.models.hierarchical._sited import SitedClassifier
from treatsel.models.priors import Priors


class HierarchicalClassifier(SitedClassifier):
    """Logistic regression with partial pooling of the arms (empirical Bayes).

    logit p_k(x) = a + a_k + h(x)'b + h(x)'g_k (+ u_site + v_site,k + w_therapist,k), where h(x) are
    standardized numbers (skewed ones on a logarithmic scale), categories and missing indicators, and the
    shared effects b include hinges at the quartiles of each number. All arms are treated alike; there is no
    reference arm.

    Every term has a Gaussian prior. Each column has one variance for its shared effect and one for its
    deviations by arm, drawn towards the variance of its kind; all of them maximize the evidence (marginal
    likelihood) under weakly informative guesses. Many small effect modifications are thus shrunken together,
    a single strong one hardly at all, and a rare arm borrows strength from the others. The model is averaged
    with the same model without effect modification, by how well both predict.

    The outcome may rest on a score, given to `fit`: the model is then a cumulative logit of the levels of the
    score, which has the same terms and uses more of the information (proportional odds).

    Parameters
    ----------
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm.
    groups : str or None, default=None
        Column of X that identifies the site, for a random intercept and a random site-by-arm effect; it is
        not a predictor. Predictions do not need the column: without it, they are for a new site.
    therapists : str or None, default=None
        Column of X that identifies the therapist, for a random effect of each therapist under each arm within
        a site; it is not a predictor. Missing: no therapist. Predictions do not need the column: they are
        means over therapists.
    priors : Priors or None, default=None
        What is known from elsewhere, such as published trials.
    keep_therapists : bool, default=False
        Whether to keep the effects of therapists in `therapist_effects_`.
    joint : JointDraws or None, default=None
        Random numbers of the posterior draws, which depend on those of other outcomes; a selector of several
        outcomes gives it. None: those of one outcome.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms, sorted.
    classes_ : ndarray of shape (2,)
        Outcomes; the second is the event.
    modification_weight_ : float
        Weight of the model in which effects differ between patients, from the leave-one-out log-likelihood
        and a prior probability of 0.5 (more below 600 patients, see `Priors`). It compares predictions and is
        not the probability that effects differ: without any modification, expect 0 to 0.7 from 1,000 patients
        on. NaN for a single arm.
    modification_ : DataFrame of shape (n_columns, 2)
        Prior SD, in logits, of each column of the matrix: of its shared effect (prognosis) and of its
        deviations by arm (modification), as estimated.
    prior_ : Series
        Prior SD, in logits, of each kind of term, of arms, of sites and of therapists.
    levels_ : int
        Number of levels of the outcome: 2, or those of the score.
    priors_ : DataFrame
        Each published estimate (prior, prior_se) beside that of the patients alone (patients, patients_se),
        their difference in standard errors, and the standard error with which it counts (used_se), which
        includes the heterogeneity between populations. No rows without priors.
    therapist_effects_ : DataFrame or None
        Posterior mean (effect) and SD, in logits, of the effect of each therapist under each arm within a
        site, with the number of patients: site, therapist, arm, n, effect, sd. Only caseloads of 15 patients
        or more, and not the smallest of these where 1 to 9 other patients of the site received the arm, since
        the effect of these few would follow from the others. None unless `keep_therapists`.

    Notes
    -----
    Posterior draws reflect the uncertainty of terms, of their prior variances, of site and of missing values.

    Deterministic: there is no cross-validation and no randomness. Sums over the design matrix are computed
    in blocks, so memory grows with the patient table only.

    References
    ----------
    MacKay (1992), Neural Computation 4(3), 415-447. doi:10.1162/neco.1992.4.3.415 (evidence)
    Tipping (2001), J Machine Learning Research 1, 211-244. (one variance per column)
    McCullagh (1980), J Royal Statistical Society B 42(2), 109-142. (cumulative logit)
    Yao et al. (2018), Bayesian Analysis 13(3), 917-1007. doi:10.1214/17-BA1091 (averaging)

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = HierarchicalClassifier().fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    >>> model.predict_by_arm(X.head(1)).shape
    (1, 2)
    """

    def __init__(
        self,
        *,
        arm: str | None = "arm",
        groups: str | None = None,
        therapists: str | None = None,
        priors: Priors | None = None,
        keep_therapists: bool = False,
        joint: JointDraws | None = None,
    ) -> None:
        self.arm = arm
        self.groups = groups
        self.therapists = therapists
        self.priors = priors
        self.keep_therapists = keep_therapists
        self.joint = joint

    def _learn(
        self, patients: Patients, encoding: Encoding, index: pd.Index, views: Sequence[Patients] = ()
    ) -> tuple[Hierarchy, AdditiveModel]:
        hierarchy = self._hierarchy(patients, encoding)
        drawn = hierarchy.draw(number_of_draws(), self.joint, self.arms_)
        draws = drawn.terms.copy()
        draws[:, :, 0] += drawn.new
        additive = AdditiveModel(
            encoding=encoding,
            arms_=self.arms_,
            intercept=hierarchy.terms[:, 0],
            coefficients=hierarchy.terms[:, 1:],
            coefficient_draws=draws.astype(np.float32),
            sites=self._site_effects(hierarchy, patients, drawn),
            joint=self.joint is not None,
        )
        return hierarchy, additive
