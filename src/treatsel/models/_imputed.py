"""Outcomes that are lost although interim scores were observed: multiple imputation.

The imputation model holds all terms of the outcome model, and what was observed after the start (interim
scores, dropout, attendance). A lost outcome is drawn from it several times, each time with terms drawn from
their posterior (proper imputation). The outcome model is fitted to each completed table; its terms are
averaged, and draws reflect the variance within and between the imputations (Rubin's rules).

References
----------
Rubin (1987), Multiple Imputation for Nonresponse in Surveys. Wiley. doi:10.1002/9780470316696
Meng (1994), Statistical Science 9(4), 538-558. doi:10.1214/ss/1177010269 (congenial imputation)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import clone

from treatsel._checks import FloatArray
from treatsel._stats.row_hashes import received_row_keys
from treatsel.additive import AdditiveModel, Encoding, SiteEffects, Trees
from treatsel.models._posterior import N_DRAWS, all_draws
from treatsel.models._wrapped import WrappedClassifier
from treatsel.models.hierarchical import HierarchicalClassifier, Levels, select_covariates, widened


class ImputedClassifier(WrappedClassifier):
    """Outcome model fitted to completed tables, in which lost outcomes are drawn from an imputation model.

    Unbiased if observation depends on covariates, arm and the auxiliary columns alone.

    Parameters
    ----------
    estimator : HierarchicalClassifier or StackedClassifier
        Model of the outcome given covariates and arm.
    arm : str, default="arm"
        Column of X that holds the received arm.
    auxiliary : sequence of str
        Columns of X that were observed after the start: predictors of the imputation model only. A column
        that is missing in all patients with an observed outcome says nothing about it and is left out.
    shift : float, default=0.0
        What is added to the logit of an imputed outcome (delta-adjustment).
    n_imputations : int, default=5
        Number of completed tables.
    random_state : int, default=0
        Seed of the imputations.

    Attributes
    ----------
    imputation_ : HierarchicalClassifier
        Fitted to the patients whose outcome was observed.
    completed_ : list of models
        The outcome model, fitted to each completed table.
    arms_, classes_
        As in the other models.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        arm: str = "arm",
        auxiliary: Sequence[str] = (),
        shift: float = 0.0,
        n_imputations: int = 5,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.arm = arm
        self.auxiliary = auxiliary
        self.shift = shift
        self.n_imputations = n_imputations
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: Any, score: Any = None, sample_weight: Any = None) -> Self:
        """Fit the imputation model, and the outcome model to each completed table.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates, arm and auxiliary columns of all patients, and site and therapist if the estimator has
            them.
        y : array-like of shape (n_patients,)
            Outcome, 0 or 1; NaN: not observed.
        score : array-like of shape (n_patients,), optional
            Score behind the outcome, as in the estimator.
        sample_weight : array-like of whole numbers of shape (n_patients,), optional
            Counts, 1 or more: a patient with weight 2 is two patients, who stay in one fold and are imputed
            alike.
        """
        y = np.asarray(y, dtype=float)
        counts = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        score = None if score is None else np.asarray(score, dtype=float)
        columns: dict[str, Any] = {
            name: getattr(self.estimator, name, None) for name in ("groups", "therapists")
        }
        table = X.drop(columns=list(self.auxiliary))
        covariates = table.drop(columns=[self.arm, *filter(None, columns.values())])
        seen = ~np.isnan(y)
        passed = {} if score is None else {"score": score[seen]}
        X = X.drop(columns=[name for name in self.auxiliary if X.loc[seen, name].isna().all()])
        imputation = HierarchicalClassifier(arm=self.arm, **columns)
        with all_draws():  # from which outcomes are imputed
            self.imputation_ = imputation.fit(X[seen], y[seen], counts[seen], **passed)
        codes = pd.Index(self.imputation_.arms_).get_indexer(X[self.arm])
        # which covariates are used is decided once, so that all models have the same terms
        names, _ = select_covariates(covariates[seen], codes[seen], y[seen], counts[seen])
        kept = table[[*names, self.arm, *filter(None, columns.values())]]
        self.completed_ = []
        for filled, scored in self._completions(X, codes, y, score):
            given = {} if scored is None else {"score": scored}
            self.completed_.append(clone(self.estimator).fit(kept, filled, counts, **given))
        forms = [model.additive() for model in self.completed_]
        if len(names) < covariates.shape[1]:
            whole = Encoding.of_cohort(covariates, counts, native_missing=False)
            forms = [widened(form, whole) for form in forms]
        self._additive = pooled(forms)
        self.therapist_effects_ = _pooled_therapists(self.completed_)
        self.arms_, self.classes_ = self.completed_[0].arms_, self.completed_[0].classes_
        self.feature_names_in_ = np.asarray(covariates.columns, dtype=object)
        self.n_features_in_ = covariates.shape[1]
        self.row_keys_ = received_row_keys(covariates, X[self.arm])
        return self

    def _completions(
        self, X: pd.DataFrame, codes: np.ndarray, y: FloatArray, score: FloatArray | None
    ) -> list[tuple[FloatArray, FloatArray | None]]:
        """Return outcomes and scores of all patients, once per imputation."""
        rng = np.random.default_rng([8, self.random_state])
        lost, form = np.flatnonzero(np.isnan(y)), self.imputation_.additive()
        drawn = rng.permutation(N_DRAWS)[: self.n_imputations]
        logits = form.logit_draws(X.iloc[lost], order=drawn)[np.arange(len(lost)), codes[lost]] + self.shift
        found: list[tuple[FloatArray, FloatArray | None]] = []
        for each in logits.T:
            filled = y.copy()
            uniform = rng.random(len(lost))
            if score is None or form.score is None:
                filled[lost] = uniform < expit(each)
                found.append((filled, None))
                continue
            reached = expit(each[:, None] + form.score.thresholds) > uniform[:, None]
            scored = score.copy()
            scored[lost], filled[lost] = _drawn_scores(reached.sum(axis=1), y, score, rng)
            found.append((filled, scored))
        return found

    def _described_by(self) -> Any:
        return next(iter(self.__dict__.get("completed_", ())), None)


def _drawn_scores(
    numbers: np.ndarray, y: FloatArray, score: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return scores, and outcomes, of patients at these levels: those of observed patients at the level."""
    seen = ~np.isnan(y)
    levels = Levels.of_score(score[seen], y[seen], np.ones(int(seen.sum())))
    known, values = levels.known, score[seen]
    found = np.empty(len(numbers))
    for number in np.unique(numbers):
        donors = values[known & (levels.reached == number)]
        found[numbers == number] = rng.choice(donors, int((numbers == number).sum()))
    return found, (numbers >= levels.target).astype(float)


def _pooled_therapists(models: Sequence[Any]) -> pd.DataFrame | None:
    """Return the effects of therapists, which are the same in all tables, by Rubin's rules; None without."""
    found = [model.therapist_effects_ for model in models if model.therapist_effects_ is not None]
    if not found:
        return None
    effects, sds = (np.stack([one[name] for one in found]) for name in ("effect", "sd"))
    between = effects.var(axis=0, ddof=1) if len(models) > 1 else 0.0
    sd = np.sqrt((sds**2).mean(axis=0) + (1 + 1 / len(models)) * between)
    pooled_effects: pd.DataFrame = found[0].assign(effect=effects.mean(axis=0), sd=sd)
    return pooled_effects


def pooled(forms: Sequence[AdditiveModel]) -> AdditiveModel:
    """Return the average of models with the same terms, fitted to completed tables.

    Each gives an equal share of the draws: table i the rows i, i + m, ..., so that row i of several outcomes
    remains a joint draw. With m tables, draws are moved away from the average so that their variance has the
    part (1 + 1/m) B, where B is the variance between tables, and not (1 - 1/m) B.
    """
    first, m = forms[0], len(forms)
    trees = [form.trees for form in forms if form.trees is not None]
    sizes = [0 if form.trees is None else form.trees.n_members for form in forms]
    terms = np.stack([_terms(form, sizes, i) for i, form in enumerate(forms)])
    mean = terms.mean(axis=0)
    n_linear = 1 + len(first.encoding.features)
    moved = np.sqrt((m + 1) / (m - 1)) - 1.0 if m > 1 else 0.0
    draws: Any = None
    if all(form.coefficient_draws is not None for form in forms):
        shares = []
        for i, form in enumerate(forms):
            own = _placed(np.asarray(form.coefficient_draws)[i::m].astype(np.float64), n_linear, sizes, i)
            shares.append(own + moved * (terms[i] - mean))
        draws = _interleaved(shares)
    return replace(
        first,
        intercept=mean[:, 0],
        coefficients=mean[:, 1:n_linear],
        trees=Trees.join(trees) if trees else None,
        mixing=mean[:, n_linear:] if trees else None,
        coefficient_draws=draws,
        sites=_pooled_sites(forms, moved),
    )


def _interleaved(shares: Sequence[FloatArray]) -> np.ndarray:
    """Return the draws of m tables as one array, of which those of table i are rows i, i + m, ..."""
    draws = np.empty((sum(map(len, shares)), *shares[0].shape[1:]), dtype=np.float32)
    for i, own in enumerate(shares):
        draws[i :: len(shares)] = own
    return draws


def _terms(form: AdditiveModel, sizes: Sequence[int], i: int) -> FloatArray:
    """Return intercept, coefficients and weights of all tables' trees, (n_arms, n_terms)."""
    own = [form.intercept[:, None], form.coefficients]
    own += [] if form.mixing is None else [form.mixing]
    return _placed(np.concatenate(own, axis=1), 1 + form.coefficients.shape[1], sizes, i)


def _placed(terms: FloatArray, n_linear: int, sizes: Sequence[int], i: int) -> FloatArray:
    """Return the terms of table i with a weight of 0 for the trees of the others."""
    before, after = sum(sizes[:i]), sum(sizes[i + 1 :])
    weights = np.pad(terms[..., n_linear:], [(0, 0)] * (terms.ndim - 1) + [(before, after)])
    return np.concatenate([terms[..., :n_linear], weights], axis=-1)


def _pooled_sites(forms: Sequence[AdditiveModel], moved: float) -> SiteEffects | None:
    """Return the average of the sites, which are the same in all tables; None without sites."""
    sites = [form.sites for form in forms if form.sites is not None]
    if not sites:
        return None
    effects = np.stack([form.sites.intercept - form.intercept for form in forms if form.sites is not None])
    draws = None
    if all(own.draws is not None for own in sites):
        shares = [
            np.asarray(own.draws)[i :: len(sites)] + moved * (effects[i] - effects.mean(axis=0))
            for i, own in enumerate(sites)
        ]
        draws = _interleaved(shares)
    return replace(
        sites[0],
        intercept=np.mean([own.intercept for own in sites], axis=0),
        coefficients=np.mean([own.coefficients for own in sites], axis=0),
        draws=draws,
    )
