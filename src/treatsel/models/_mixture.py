"""Outcomes that are lost with dropout: predictions averaged over who drops out.

Patients who drop out fare worse, and their outcomes are lost more often: a model of the observed patients is
too favorable. Weights by the inverse probability of observation mend the level, but make the effects of
covariates much less precise. The mixture uses all observed patients with equal weight: the outcome is modeled
with dropout as one more covariate, dropout is modeled in all patients, and

    P(y | x, k) = sum over d of P(d | x, k) P(y | x, k, d),

which is unbiased if observation depends on covariates, arm and dropout alone (pattern-mixture model).

References
----------
Little (1993), JASA 88(421), 125-134. doi:10.1080/01621459.1993.10594302
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import clone

from treatsel._checks import FloatArray
from treatsel._stats.row_hashes import received_row_keys
from treatsel.additive import AdditiveModel, Encoding, Numbers, SiteEffects, Trees, score_trees
from treatsel.models._projection import matched
from treatsel.models._wrapped import WrappedClassifier
from treatsel.models.hierarchical import HierarchicalClassifier, shift_to

PROJECTION_ROWS = 2000  # patients used for the projection of the mean, as in the hierarchical model
DRAWN_ROWS = 300  # patients used for that of every draw
LEAST = 1e-9  # probabilities are at least this far from 0 and 1 before their logit is taken


class DropoutMixture(WrappedClassifier):
    """Outcome model averaged over a 0/1 column that is observed after the start, such as dropout.

    Parameters
    ----------
    estimator : HierarchicalClassifier or StackedClassifier
        Model of the outcome given covariates, arm and the column.
    arm : str, default="arm"
        Column of X that holds the received arm.
    process : str, default="dropout"
        Column of X that holds 0 or 1, observed in all patients. It is not needed for prediction.

    Attributes
    ----------
    outcome_ : model
        Fitted to the patients whose outcome was observed, with the column as a covariate.
    dropout_ : HierarchicalClassifier
        Model of the column, fitted to all patients.
    arms_, classes_
        As in the other models.
    """

    def __init__(self, estimator: Any, *, arm: str = "arm", process: str = "dropout") -> None:
        self.estimator = estimator
        self.arm = arm
        self.process = process

    def fit(self, X: pd.DataFrame, y: Any, score: Any = None, sample_weight: Any = None) -> Self:
        """Fit both models.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates, arm and process column of all patients, and the site column if the estimator has one.
        y : array-like of shape (n_patients,)
            Outcome, 0 or 1; NaN: not observed.
        score : array-like of shape (n_patients,), optional
            Score behind the outcome, as in the estimator.
        sample_weight : array-like of whole numbers of shape (n_patients,), optional
            Counts, 1 or more: a patient with weight 2 is two patients, who stay in one fold.
        """
        y = np.asarray(y, dtype=float)
        seen = ~np.isnan(y)
        counts = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        known = X[seen]
        passed = {} if score is None else {"score": np.asarray(score, dtype=float)[seen]}
        columns = {name: getattr(self.estimator, name, None) for name in ("groups", "therapists")}
        others, keep = X.drop(columns=self.process), bool(getattr(self.estimator, "keep_therapists", False))
        self.dropout_ = HierarchicalClassifier(arm=self.arm, keep_therapists=keep, **columns)
        self.dropout_.fit(others, X[self.process], counts)
        self.outcome_ = clone(self.estimator)
        views = [known.assign(**{self.process: float(value)}) for value in (0, 1)]
        everyone = np.repeat(np.arange(len(y)), counts.astype(np.intp))
        population = self._population(X.iloc[everyone], known)
        self.outcome_._fit(known, y[seen], counts[seen], views=views, population=population, **passed)
        covariates = others.drop(columns=[self.arm, *filter(None, columns.values())])
        averaged = covariates.iloc[everyone]
        self._additive = mixed(self.outcome_.additive(), self.dropout_.additive(), averaged, self.process)
        self.therapist_effects_ = self._therapist_effects(covariates)
        self.arms_, self.classes_ = self.outcome_.arms_, self.outcome_.classes_
        self.feature_names_in_ = np.asarray(covariates.columns, dtype=object)
        self.n_features_in_ = covariates.shape[1]
        self.row_keys_ = received_row_keys(covariates, X[self.arm])
        return self

    def _population(self, X: pd.DataFrame, known: pd.DataFrame) -> tuple[pd.DataFrame, FloatArray] | None:
        """Return patients without and with dropout, weighted by its probability under each arm.

        Published estimates are averages over all patients, and include what an arm does through dropout.
        """
        if getattr(self.estimator, "priors", None) is None:
            return None
        rows = X.iloc[np.unique(np.linspace(0, len(X) - 1, min(DRAWN_ROWS, len(X))).astype(int))]
        arms = sorted(known[self.arm].unique(), key=str)
        chance = self.dropout_.predict_by_arm(rows, "average")[arms].to_numpy()
        both = pd.concat([rows.assign(**{self.process: float(value)}) for value in (0, 1)])
        return both, np.concatenate([1 - chance, chance])

    def _therapist_effects(self, covariates: pd.DataFrame) -> pd.DataFrame | None:
        """Return the effects of therapists on the averaged logit, to first order, if they are to be kept."""
        own, of_dropout = self.outcome_.therapist_effects_, self.dropout_.therapist_effects_
        if own is None or of_dropout is None:
            return None
        outcome, dropout, names = (
            self.outcome_.additive(),
            self.dropout_.additive(),
            ["site", "therapist", "arm"],
        )
        rows = covariates.iloc[:: -(-len(covariates) // PROJECTION_ROWS)]
        parts = _Parts.of(outcome, dropout, covariates, self.process)
        chance = dropout.predict_by_arm(rows, "average").to_numpy()
        slopes = _slopes(parts, outcome, parts.rows(rows), chance, outcome.sites_of(rows, "average"))
        found = own.merge(of_dropout.drop(columns="n"), on=names, suffixes=("", "_of_dropout"))
        of_outcome, of_chance = (found["arm"].map(dict(zip(outcome.arms_, s, strict=True))) for s in slopes)
        effect = of_outcome * found["effect"] + of_chance * found["effect_of_dropout"]
        sd = np.hypot(of_outcome * found["sd"], of_chance * found["sd_of_dropout"])
        kept: pd.DataFrame = found.assign(effect=effect, sd=sd)[list(own.columns)]
        return kept

    def _described_by(self) -> Any:
        return self.__dict__.get("outcome_")


def mixed(
    outcome: AdditiveModel, dropout: AdditiveModel, covariates: pd.DataFrame, process: str, stream: int = 6
) -> AdditiveModel:
    """Return the additive form of the outcome model averaged over dropout, or another 0/1 column.

    The average of two logistic functions is not one. On the logit scale it is the outcome model at the mean
    probability of dropout under the arm, and a remainder that varies little and is projected on the linear
    terms.

    `stream`: number of the random stream that pairs the draws of both models. Both were drawn from the same
    random streams, and are independent in another order; so are several models of which each has a stream of
    its own.
    """
    parts = _Parts.of(outcome, dropout, covariates, process)
    rows = np.unique(np.linspace(0, len(covariates) - 1, min(PROJECTION_ROWS, len(covariates))).astype(int))
    some = covariates.iloc[rows]
    terms = _projected(parts, outcome, dropout, some, "new")
    return AdditiveModel(
        encoding=parts.encoding,
        arms_=outcome.arms_,
        intercept=terms[:, 0],
        coefficients=terms[:, 1:],
        trees=parts.trees,
        mixing=None if outcome.mixing is None else parts.mixing(outcome.mixing),
        coefficient_draws=_draws(parts, outcome, dropout, some.iloc[:: -(-len(rows) // DRAWN_ROWS)], stream),
        sites=_sites(parts, outcome, dropout, some, stream),
        score=outcome.score,
        joint=outcome.joint,
    )


def _projected(
    parts: "_Parts", outcome: AdditiveModel, dropout: AdditiveModel, covariates: pd.DataFrame, service: str
) -> FloatArray:
    """Return the linear terms of the average over dropout, at a new or at the average site."""
    at = parts.rows(covariates)
    terms = np.column_stack([outcome.intercept, outcome.coefficients])
    if service == "average" and outcome.sites is not None:
        terms = np.column_stack([outcome.sites.intercept[-1], outcome.sites.coefficients])
    terms = parts.linear(terms)
    chance = dropout.predict_by_arm(covariates, service).to_numpy()
    target = parts.average(outcome, at, chance, outcome.sites_of(covariates, service))
    ones = np.ones(len(covariates))
    for k in range(len(terms)):
        spread = np.ones(terms.shape[1])
        offset = at.offset(parts, outcome.mixing, k)
        terms[k] = matched(at.design, ones, target[:, k], terms[k], spread, offset=offset)
    return terms


@dataclass(frozen=True, eq=False, repr=False)
class _Rows:
    """Some patients: design without dropout, and matrix and tree scores without and with it."""

    design: FloatArray
    matrices: list[FloatArray]
    scores: list[FloatArray | None]

    def offset(self, parts: "_Parts", mixing: FloatArray | None, k: int) -> FloatArray | float:
        """Return the trees' part of an arm's logit at the mean probability of dropout."""
        if mixing is None or self.scores[0] is None or self.scores[1] is None:
            return 0.0
        share = parts.share[k]
        return np.asarray(((1 - share) * self.scores[0] + share * self.scores[1]) @ mixing[k])


@dataclass(frozen=True, eq=False, repr=False)
class _Parts:
    """How a model with dropout as a covariate becomes one without.

    `column`: position of dropout in the matrix; `values`: its entries for 0 and 1; `share`: mean probability
    of dropout by arm; `encoding` and `trees`: of the model without it; `splits`: whether trees split on it,
    so that there are two versions of each.
    """

    whole: Encoding
    column: int
    values: FloatArray
    share: FloatArray
    encoding: Encoding
    trees: Trees | None
    splits: bool

    @classmethod
    def of(
        cls, outcome: AdditiveModel, dropout: AdditiveModel, covariates: pd.DataFrame, process: str
    ) -> "_Parts":
        whole = outcome.encoding
        j = whole.names.index(process)
        encoding = Encoding((*whole.columns[:j], *whole.columns[j + 1 :]), whole.native_missing)
        column, own = int(whole.starts[j]), whole.columns[j]
        ends = pd.DataFrame({process: [0.0, 1.0]})
        values = Encoding((own,), whole.native_missing).encode(ends)[:, 0]
        trees, splits = outcome.trees, False
        if trees is not None:
            splits = bool((trees.feature == column).any())
            trees = Trees.join([trees.resolved(column, value) for value in values[: 1 + splits]])
        share = dropout.predict_by_arm(covariates).to_numpy().mean(axis=0)
        return cls(whole, column, values, share, encoding, trees, splits)

    def rows(self, covariates: pd.DataFrame) -> _Rows:
        """Return the arrays of some patients."""
        design = np.column_stack([np.ones(len(covariates)), self.encoding.encode(covariates)])
        matrices = [np.insert(design[:, 1:], self.column, value, axis=1) for value in self.values]
        scores: list[FloatArray | None] = [None, None]
        if self.trees is not None:
            found = score_trees(self.trees, design[:, 1:])
            scores = list(np.split(found, 2, axis=1)) if self.splits else [found, found]
        return _Rows(design, matrices, scores)

    def linear(self, terms: FloatArray) -> FloatArray:
        """Return the terms at the mean probability of dropout, shape (..., n_arms, n_terms)."""
        value = self.values[0] + self.share * (self.values[1] - self.values[0])
        found = np.delete(terms, 1 + self.column, axis=-1)
        found[..., 0] += value * terms[..., 1 + self.column]
        return found

    def mixing(self, mixing: FloatArray) -> FloatArray:
        """Return the weights of the trees, shape (..., n_arms, n_members), or twice as many if they split."""
        if not self.splits:
            return mixing
        share = self.share[:, None]
        return np.concatenate([(1 - share) * mixing, share * mixing], axis=-1)

    def average(
        self, outcome: AdditiveModel, at: _Rows, chance: FloatArray, sites: Numbers | None
    ) -> FloatArray:
        """Return the averaged probabilities, shape (n_patients, n_arms)."""
        logits = [
            outcome.logit_of(matrix, scores, sites)
            for matrix, scores in zip(at.matrices, at.scores, strict=True)
        ]
        return np.asarray((1 - chance) * expit(logits[0]) + chance * expit(logits[1]))


def _sites(
    parts: _Parts, outcome: AdditiveModel, dropout: AdditiveModel, covariates: pd.DataFrame, stream: int
) -> SiteEffects | None:
    """Return the known sites of the average over dropout: those known to both models.

    With the shift of a site, the mean probability over the patients is that of the average over dropout
    there. Draws of the effects are moved by the derivatives of its logit at the average site.
    """
    if outcome.sites is None or dropout.sites is None:
        return None
    labels = [label for label in outcome.sites.labels if label in dropout.sites.labels]
    own, of_dropout = outcome.sites.only(labels), dropout.sites.only(labels)
    outcome = replace(outcome, sites=own)
    within, at = _projected(parts, outcome, dropout, covariates, "average"), parts.rows(covariates)
    of_covariates = dropout.encoding.encode(covariates) @ of_dropout.coefficients.T
    chances = [expit(intercept + of_covariates) for intercept in of_dropout.intercept]
    places = [np.full(len(covariates), number) for number in range(len(chances))]
    means = np.array(
        [parts.average(outcome, at, *each).mean(axis=0) for each in zip(chances, places, strict=True)]
    )
    weights, shift = np.full(len(covariates), 1 / len(covariates)), np.zeros_like(own.intercept)
    for k in range(len(within)):
        offset = at.design @ within[k] + at.offset(parts, outcome.mixing, k)
        shift[:, k] = shift_to(offset, weights, means[:, k], own.intercept[:, k] - own.intercept[-1, k])
    return SiteEffects(
        column=own.column,
        labels=own.labels,
        intercept=within[:, 0] + shift - shift[-1],
        coefficients=within[:, 1:],
        draws=_site_draws(parts, outcome, of_dropout, at, chances[-1], stream),
    )


def _site_draws(
    parts: _Parts,
    outcome: AdditiveModel,
    of_dropout: SiteEffects,
    at: _Rows,
    chance: FloatArray,
    stream: int,
) -> FloatArray | None:
    """Return draws of the effects of sites on the averaged logit; None if a model has none.

    `chance`: probability of dropout at the average site, (n_patients, n_arms).
    """
    own = outcome.sites
    if own is None or own.draws is None or of_dropout.draws is None:
        return None
    average = np.full(len(chance), len(own.labels))
    of_outcome, of_chance = _slopes(parts, outcome, at, chance, average)
    moved = of_dropout.draws[_order(len(of_dropout.draws), stream)]
    return np.asarray(of_outcome * own.draws + of_chance * moved).astype(np.float32)


def _slopes(
    parts: _Parts, outcome: AdditiveModel, at: _Rows, chance: FloatArray, sites: Numbers | None
) -> tuple[FloatArray, FloatArray]:
    """Return the mean derivatives of the averaged logit by those of outcome and of dropout, shape (K,)."""
    p, q = (
        expit(outcome.logit_of(matrix, scores, sites))
        for matrix, scores in zip(at.matrices, at.scores, strict=True)
    )
    mean = (1 - chance) * p + chance * q
    whole = mean * (1 - mean)
    of_outcome = (((1 - chance) * p * (1 - p) + chance * q * (1 - q)) / whole).mean(axis=0)
    return of_outcome, ((q - p) * chance * (1 - chance) / whole).mean(axis=0)


def _order(n_draws: int, stream: int) -> np.ndarray:
    """Return an order in which the draws of a model are independent of those of others, see `mixed`."""
    return np.random.default_rng([stream]).permutation(n_draws)


def _draws(
    parts: _Parts, outcome: AdditiveModel, dropout: AdditiveModel, covariates: pd.DataFrame, stream: int
) -> FloatArray | None:
    """Return draws of the averaged model, from those of both models; None if either has none."""
    if outcome.coefficient_draws is None or dropout.coefficient_draws is None:
        return None
    at = parts.rows(covariates)
    n_linear = 1 + len(parts.whole.features)
    drawn = outcome.coefficient_draws.astype(np.float64)
    linear, mixing = drawn[..., :n_linear], drawn[..., n_linear:]
    design = np.column_stack([np.ones(len(covariates)), dropout.encoding.encode(covariates)])
    of_dropout = dropout.coefficient_draws.astype(np.float64)[_order(len(drawn), stream)]
    chance = expit(np.einsum("np,dkp->dnk", design, of_dropout, optimize=True))

    def logits(matrix: FloatArray, scores: FloatArray | None) -> FloatArray:
        found = np.einsum("np,dkp->dnk", matrix, linear[..., 1:], optimize=True) + linear[:, None, :, 0]
        if scores is not None:
            found = found + np.einsum("nm,dkm->dnk", scores, mixing, optimize=True)
        return np.asarray(found)

    each = [logits(matrix, scores) for matrix, scores in zip(at.matrices, at.scores, strict=True)]
    target = logit(np.clip((1 - chance) * expit(each[0]) + chance * expit(each[1]), LEAST, 1 - LEAST))
    remainder = target - ((1 - parts.share) * each[0] + parts.share * each[1])
    terms = parts.linear(linear)
    for k in range(len(parts.share)):
        mean = target[:, :, k].mean(axis=0)
        weights = expit(mean) * expit(-mean)
        # a ridge of one patient's information holds terms about which these patients say nothing
        curvature = (at.design * weights[:, None]).T @ at.design + 0.25 * np.eye(at.design.shape[1])
        terms[:, k] += (remainder[:, :, k] * weights) @ np.linalg.solve(curvature, at.design.T).T
    found = [terms] if parts.trees is None else [terms, parts.mixing(mixing)]
    return np.concatenate(found, axis=-1).astype(np.float32)
