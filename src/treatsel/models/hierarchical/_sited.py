"""Base class of the hierarchical model and the stack: fitting with sites, additive form, posterior draws."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray, as_pandas, check_same_length, check_vector, check_weights
from treatsel._stats.alignment import check_same_order
from treatsel.additive import AdditiveModel, Encoding, ScoreLevels, SiteEffects
from treatsel.errors import InputError, warn
from treatsel.models._base import ByArmMixin, labels_of_caseloads, split_groups, split_therapists
from treatsel.models._joint import JointDraws
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._hierarchy import Hierarchy
from treatsel.models.hierarchical._known_sites import Draws, site_effects
from treatsel.models.hierarchical._levels import Levels
from treatsel.models.hierarchical._outside import COLUMNS, outside_of
from treatsel.models.hierarchical._screening import select_covariates, widened
from treatsel.models.hierarchical._therapist_effects import therapist_effects
from treatsel.models.priors import Priors

AVERAGED_ROWS = 2000  # patients over whom published means of arms are averaged: bounds the time


def _warn_of_screening(n_kept: int, n: int) -> None:
    warn(
        f"{n:,} covariates are more than can be fitted together. The model uses the {n_kept:,} that are most "
        "strongly associated with the outcome within arms; the others have no effect in it. Leave out "
        "covariates that cannot matter.",
    )


def _check_score(score: Any, X: Any, sample_weight: Any) -> FloatArray:
    """Return the scores of the patients with a weight above 0."""
    check_same_length(X=X, score=np.asarray(score))
    check_same_order(X=as_pandas(X), score=as_pandas(score))
    values = check_vector("score", score, allow_missing=True)
    return values[check_weights("sample_weight", sample_weight, len(values)) > 0]


def with_score(
    model: AdditiveModel, hierarchy: Hierarchy, levels: Levels, score: FloatArray, weights: FloatArray
) -> AdditiveModel:
    """Return a model with the levels of the score that it was fitted to."""
    thresholds = levels.thresholds(hierarchy.thresholds)[1:-1]
    return replace(model, score=ScoreLevels(thresholds=thresholds, means=levels.means(score, weights)))


class SitedClassifier(ByArmMixin, ClassifierMixin, BaseEstimator, ABC):
    """Base of the models that fit a `Hierarchy` and are written as an `AdditiveModel`."""

    groups: str | None
    therapists: str | None
    priors: Priors | None
    keep_therapists: bool
    joint: JointDraws | None

    @abstractmethod
    def _learn(
        self, patients: Patients, encoding: Encoding, index: pd.Index, views: Sequence[Patients] = ()
    ) -> tuple[Hierarchy, AdditiveModel]:
        """Fit the model; `index` names the patients; `views`: as in `_fit`."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, score: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates, the arm column, and the columns of site and therapist if `groups` and `therapists` are
            given.
        y : array-like of shape (n_patients,)
            Outcome, 0 or 1.
        sample_weight : array-like of shape (n_patients,), optional
            Weights, not negative; a patient with weight 2 counts twice.
        score : array-like of shape (n_patients,), optional
            Score behind the outcome, higher for patients nearer to the event: every patient with y = 1 has a
            higher score than every patient with y = 0. NaN: only y is known.

        Raises
        ------
        InputError
            If the arm column is missing, an arm has only one class of outcome, y is not 0/1, or the score
            contradicts y.
        """
        return self._fit(X, y, sample_weight, score)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        score: Any = None,
        views: Sequence[pd.DataFrame] = (),
        population: tuple[pd.DataFrame, FloatArray] | None = None,
    ) -> Self:
        """Fit the model.

        `views`: the same patients with other covariates, to be predicted out of fold. `population`: patients
        over whom published estimates are averages, and their weights under each arm; None: these patients.
        """
        scored = None if score is None else _check_score(score, X, sample_weight)
        given = X
        X, sites, self._sites = split_groups(X, self.groups, sample_weight)
        X, therapists = split_therapists(X, self.therapists, sites, sample_weight)
        covariates, received, y, weights = self._start_fit(X, y, sample_weight)
        # one BLAS thread: more do not speed up small matrices, and slow them down on a busy machine
        with threadpool_limits(limits=1, user_api="blas"):
            arms = pd.Index(self.arms_).get_indexer(received)
            names, hinges = select_covariates(covariates, arms, y, weights)
            kept = covariates if len(names) == covariates.shape[1] else covariates[names]
            encoding = Encoding.of_cohort(kept, weights, native_missing=False, knots=hinges, logs=True)
            patients = Patients(
                kept,
                encoding,
                arms=arms,
                y=y,
                weights=weights,
                n_arms=len(self.arms_),
                sites=sites,
                therapists=therapists,
                levels=None if scored is None else Levels.of_score(scored, y, weights),
            )
            if population is not None:
                matrix = encoding.encode(population[0])
                patients.population = np.column_stack([np.ones(len(matrix)), matrix]), population[1]
            features = encoding.features
            others = [patients.with_covariates(view[list(kept.columns)]) for view in views]
            hierarchy, self._additive = self._learn(patients, encoding, covariates.index, others)
            if scored is not None:
                self._additive = with_score(self._additive, hierarchy, patients.levels, scored, weights)
            if kept is not covariates:
                whole = Encoding.of_cohort(covariates, weights, native_missing=False)
                self._additive = widened(self._additive, whole)
                encoding = self._additive.encoding
                _warn_of_screening(len(names), covariates.shape[1])
        self.encoding_ = encoding
        self._keep(hierarchy, patients, features)
        self.therapist_effects_ = self._therapist_effects(hierarchy, patients, given, sample_weight)
        return self

    def _therapist_effects(
        self, hierarchy: Hierarchy, patients: Patients, X: Any, sample_weight: Any
    ) -> pd.DataFrame | None:
        """Return the effects of therapists, if they are to be kept."""
        if not self.keep_therapists:
            return None
        if self.therapists is None:
            raise InputError(
                "keep_therapists=True needs the column of the therapists: give therapists, or leave it out."
            )
        table = as_pandas(X)
        used = check_weights("sample_weight", sample_weight, len(table)) > 0
        labels = labels_of_caseloads(table, self.groups, self.therapists, used)
        return therapist_effects(hierarchy, patients, labels, list(self.arms_))

    def _hierarchy(self, patients: Patients, encoding: Encoding) -> Hierarchy:
        """Fit the hierarchical model, with published estimates."""
        priors = Priors() if self.priors is None else self.priors
        if not isinstance(priors, Priors):
            raise InputError(f"priors is a {type(priors).__name__}; give a treatsel.models.Priors.")
        population = patients.population or patients.sample(AVERAGED_ROWS)
        outside = outside_of(priors, encoding, list(self.arms_), *population)
        hierarchy = Hierarchy.learn(patients, encoding, outside=outside, null=priors.null)
        agreement = hierarchy.averaged.agreement
        self.priors_ = pd.DataFrame([] if agreement is None else agreement.rows(), columns=list(COLUMNS))
        self.prior_conflict_ = None if agreement is None else agreement.conflict()
        if self.prior_conflict_ is not None:  # in the same words in every fold, so that it is shown once
            warn(
                "prior_conflict: published estimates and patients disagree (p < .05); priors_ has both. "
                "Published estimates of arms count less accordingly; check population, outcome and direction."
            )
        return hierarchy

    def _keep(self, hierarchy: Hierarchy, patients: Patients, features: list[str]) -> None:
        """Set the attributes that describe the fitted hierarchical model."""
        self.modification_weight_, self.prior_ = hierarchy.modification_weight, hierarchy.prior
        self.levels_ = patients.levels.n
        columns = ["prognosis", "modification"]
        self.modification_ = pd.DataFrame(hierarchy.column_sd, index=features, columns=columns)

    def _site_effects(self, hierarchy: Hierarchy, patients: Patients, drawn: Draws) -> SiteEffects | None:
        """Return the logits of known sites, and of the average one; None without site effects."""
        if not patients.n_sites:
            return None
        return site_effects(
            str(self.groups),
            self._sites[hierarchy.known.numbers].tolist(),
            within=hierarchy.within,
            shift=hierarchy.shifts(patients),
            drawn=drawn,
        )

    def predict_by_arm(self, X: Any, service: str = "known") -> pd.DataFrame:
        """Return outcome probabilities, averaged over the posterior: DataFrame (n_patients, n_arms).

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates and, if a patient's site is to be used, the site.
        service : {"known", "average", "new"}
            "known": each patient's site, where X has it and it had 10 patients or more in the development
            cohort; otherwise a new site. "average": the average site. "new": a new site.
        """
        covariates = self._covariates(X)
        return self._additive.predict_by_arm(covariates, service)

    def predict_draws(self, X: Any, service: str = "known") -> FloatArray:
        """Return draws of the probabilities, shape (n_draws, n_patients, n_arms); arms as in `arms_`.

        They reflect the sources of uncertainty listed in the notes of the class. X and service: as in
        `predict_by_arm`.
        """
        covariates = self._covariates(X)
        return self._additive.predict_draws(covariates, service)

    def additive(self) -> AdditiveModel:
        """Return the fitted model as sums of terms on the logit scale."""
        check_is_fitted(self)
        return self._additive
