"""Learned attributes of a selector: read-only properties derived from its fitted model."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import FloatArray
from treatsel._stats.row_hashes import Keys
from treatsel.additive import AdditiveModel, additive_of
from treatsel.codebook import Codebook, clean_covariates
from treatsel.errors import InputError
from treatsel.explanation import RecommendationExplanation
from treatsel.fitted import DataCheck, FittedModel, Shared, shared_patients
from treatsel.models import Assignment, Observation
from treatsel.predictions import fingerprint
from treatsel.selector._learn import by_arm
from treatsel.selector._procedure import Repeatable


class LearnedAttributes(Repeatable):
    """Adds the learned attributes to an estimator with `model_`."""

    model_: FittedModel
    # values by patient: available only in the process that fitted the models, not from a file
    _assignment: Assignment | None = None
    _observation: dict[str, Observation] | None = None
    _row_keys: Keys | None = None

    @property
    def _fitted(self) -> FittedModel:
        check_is_fitted(self)
        return self.model_

    def shared_with(self, X: pd.DataFrame, received: pd.Series) -> Shared | None:
        """Return how many patients of a table were in the development cohort; None if that cannot be told.

        The covariates are read by the codebook of the model, so that the same values are equal.
        """
        development = self.model_.development
        clean = clean_covariates(X, self.codebook_, self.ranges_, "flag")[0]
        clean = clean.assign(**{str(self.codebook_.arm): received.to_numpy()})
        found = shared_patients(development.row_digests, self._row_keys, clean)
        own, everyone = fingerprint(clean), np.ones(len(clean), dtype=bool)
        if development.fingerprint == own:  # the very same table
            exact = self._row_keys is not None
            return Shared(share=1.0, is_exact=exact, rows=everyone, too_many=True)
        if any(update["fingerprint"] == own for update in self.model_.updates):
            return Shared(share=1.0, is_exact=False, rows=everyone, too_many=True)
        return found

    def fingerprint_of(self, X: pd.DataFrame, received: pd.Series) -> str:
        """Return the hash by which `shared_with` recognizes these patients as a whole."""
        clean = clean_covariates(X, self.codebook_, self.ranges_, "flag")[0]
        return fingerprint(clean.assign(**{str(self.codebook_.arm): received.to_numpy()}))

    def has_posterior_draws(self, outcome: str | None = None) -> bool:
        """Whether the model of an outcome (None: the first) has posterior draws, and thus intervals."""
        return self._fitted.has_posterior_draws(outcome)

    def predict_score_by_arm(
        self,
        X: Any,
        outcome: str | None = None,
        *,
        change: bool = False,
        on_invalid: str = "raise",
        service: str = "known",
    ) -> pd.DataFrame:
        """Return the expected score behind an outcome; see `FittedModel.predict_score_by_arm`."""
        options: dict[str, Any] = {"change": change, "on_invalid": on_invalid, "service": service}
        return self._fitted.predict_score_by_arm(X, outcome, **options)

    def predict_score_draws(
        self, X: Any, outcome: str | None = None, *, change: bool = False, service: str = "known"
    ) -> FloatArray:
        """Return posterior draws of `predict_score_by_arm`, shape (n_draws, n_patients, n_arms)."""
        return self._fitted.predict_score_draws(X, outcome, change=change, service=service)

    def predict_score_benefit(
        self,
        X: Any,
        outcome: str | None = None,
        *,
        comparator: Any = None,
        level: float = 0.95,
        service: str = "known",
    ) -> pd.DataFrame:
        """Return the expected benefit of each arm in points; see `FittedModel.predict_score_benefit`."""
        options: dict[str, Any] = {"comparator": comparator, "level": level, "service": service}
        return self._fitted.predict_score_benefit(X, outcome, **options)

    def explain_recommendation(
        self,
        X: Any,
        *,
        comparator: Any = None,
        preferences: Mapping[str, float] | None = None,
        allowed: pd.DataFrame | None = None,
        excluded: Mapping[Any, str] | None = None,
        eligibility: Any = None,
        fixed: Iterable[str] = (),
        level: float = 0.95,
        date: datetime.date | str | None = None,
        service: str = "known",
    ) -> RecommendationExplanation:
        """Explain why one patient's top arm is on top; see `FittedModel.explain_recommendation`."""
        options: dict[str, Any] = {"comparator": comparator, "preferences": preferences, "allowed": allowed}
        options["eligibility"] = eligibility
        options |= {"excluded": excluded, "fixed": fixed, "level": level, "date": date, "service": service}
        return self._fitted.explain_recommendation(X, **options)

    def service_means(self, X: Any, outcome: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Return means of the same patients by known service; see `FittedModel.service_means`."""
        return self._fitted.service_means(X, outcome, level=level)

    def therapist_effects(
        self,
        outcome: str | None = None,
        *,
        table: pd.DataFrame | None = None,
        key: str | Path | bytes | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the effects of therapists on an outcome (None: the first), shrunken towards 0.

        They exist only if the selector was fitted with `keep_therapists`, or if the model file holds them.

        Parameters
        ----------
        outcome : str, optional
            Name of the outcome.
        table : DataFrame, optional
            The therapists to be found, with the columns of site and therapist that the cohort had; None: all.
            Needed for a selector from a file, which does not hold their names.
        key : path or bytes, optional
            The key with which the file was saved; only for a selector from a file.
        level : float
            Level of the intervals.

        Returns
        -------
        DataFrame
            One row per therapist and arm with 15 patients or more: site, therapist, arm, n (missing where it
            is suppressed in a file), posterior mean (effect) and SD (sd), lower and upper end of the
            interval. Effects are differences from the average therapist of the site under this arm in the
            log odds of the outcome (of 1, as in y), given covariates. Therapists without a row have fewer
            patients, or were not in the development cohort.

        Raises
        ------
        InputError
            If no effects were kept, or the key is wrong.

        Notes
        -----
        With few patients an effect is drawn towards 0, so that therapists differ less in this table than
        their raw rates do. Patients were not assigned at random: an effect also holds what covariates do not
        say of the patients of a therapist, and is no measure of merit by itself.
        """
        name = self._fitted.outcome_named(outcome)
        kept = self.model_.development.therapists.get(name)
        if kept is None:
            raise InputError(
                f"No effects of therapists were kept for {name!r}: fit with keep_therapists=True, and save "
                "the model with therapist_key if a file is to hold them."
            )
        return kept.to_frame(table, key, level)

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the covariates."""
        return np.array(self.model_.codebook.covariates, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """Number of covariates."""
        return len(self.model_.codebook.covariates)

    @property
    def arms_(self) -> list[Any]:
        """Arms, sorted."""
        return list(self.model_.arms)

    @property
    def outcomes_(self) -> list[str]:
        """Outcomes; the first is the main outcome."""
        return list(self.model_.outcomes)

    @property
    def codebook_(self) -> Codebook:
        """Covariates, arm and outcomes."""
        return self.model_.codebook

    @property
    def models_(self) -> Mapping[str, Any]:
        """One fitted model per outcome; read-only, see `with_models`."""
        models, estimators = self.model_.models, self.model_.estimators
        return MappingProxyType({name: estimators.get(name, model) for name, model in models.items()})

    @property
    def additive_(self) -> Mapping[str, AdditiveModel | None]:
        """Models in additive form (sums of terms on the logit scale); None for a model without one."""
        return self.model_.models

    @property
    def event_is_good_(self) -> Mapping[str, bool | None]:
        """Whether 1 is good, by outcome; None: not specified."""
        return self.model_.event_is_good

    @property
    def default_arm_(self) -> Any:
        """The best single arm of the development cohort."""
        return self.model_.default_arm

    @property
    def arm_means_(self) -> pd.DataFrame:
        """Rate of the good main outcome, by arm, if all patients received the arm."""
        return by_arm(self.model_.development.arm_means, self.arms_)

    @property
    def training_(self) -> pd.DataFrame:
        """Counts by outcome and arm."""
        return pd.DataFrame(dict(self.model_.development.training))

    @property
    def ranges_(self) -> pd.DataFrame:
        """Expected range of each numeric covariate."""
        ranges = dict(self.model_.development.ranges)
        return pd.DataFrame.from_dict(ranges, orient="index", columns=["lower", "upper"], dtype="float64")

    @property
    def background_(self) -> pd.DataFrame:
        """Group means used as the background of explanations."""
        return pd.DataFrame(
            {name: values.copy() for name, values in self.model_.development.background.items()}
        )

    @property
    def performance_(self) -> dict[str, pd.DataFrame]:
        """Cross-fitted performance, by outcome, of the model and of the baseline."""
        return {name: pd.DataFrame(dict(rows)) for name, rows in self.model_.development.performance.items()}

    @property
    def data_checks_(self) -> list[DataCheck]:
        """Findings of the data-quality checks."""
        return list(self.model_.development.data_checks)

    @property
    def assignment_(self) -> Assignment:
        """Model of assignment to arms, with overlap by arm; probabilities by patient only after `fit`."""
        model = self.model_
        if self._assignment is not None:
            return replace(self._assignment, table=self._assignment.table.copy())
        return Assignment(
            probabilities=None,
            raw=None,
            table=by_arm(model.development.overlap, self.arms_),
            model=model.assignment_model,
            propensity_floor=model.development.propensity_floor,
        )

    @property
    def observation_(self) -> dict[str, Observation]:
        """Outcomes missing in some patients: tables by arm; weights by patient only after `fit`."""
        tables = self.model_.development.observation
        if self._observation is not None:
            return {name: replace(part, table=part.table.copy()) for name, part in self._observation.items()}
        return {
            name: Observation(weights=None, probability=None, table=by_arm(table, self.arms_))
            for name, table in tables.items()
        }

    @property
    def intended_use_(self) -> Mapping[str, Any] | None:
        """Intended use as stated in the model file; None for a model that is not from a file."""
        return self.model_.intended_use

    @property
    def model_id_(self) -> str | None:
        """Hash of the model file's content; None for a model that is not from a file."""
        return self.model_.model_id

    @property
    def fingerprint_(self) -> str | None:
        """Hash of the development cohort's covariates and arm column."""
        return self.model_.development.fingerprint


def covariates_of(model: Any) -> list[str] | None:
    """Return the covariates of a fitted model in its additive form, or None if it has no such form."""
    additive = additive_of(model)
    return None if additive is None else list(additive.encoding.names)
