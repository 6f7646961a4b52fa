"""`TreatmentSelector`: the scikit-learn face of one fitted model per outcome."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray
from treatsel.additive import additive_of
from treatsel.errors import InputError
from treatsel.fitted import FittedModel
from treatsel.predictions import Predictions
from treatsel.recommendation import Recommendations
from treatsel.selector._attributes import LearnedAttributes
from treatsel.selector._background import MIN_EVENTS
from treatsel.selector._fit import ESTIMATORS
from treatsel.selector._input import ASSIGNMENTS, development_of
from treatsel.selector._learn import learn

__all__ = ["ASSIGNMENTS", "ESTIMATORS", "MIN_EVENTS", "TreatmentSelector"]


class TreatmentSelector(LearnedAttributes, BaseEstimator):  # type: ignore[misc,unused-ignore] # scikit-learn ships no types
    """Estimate the probability of each outcome under each arm, and recommend an arm.

    Parameters
    ----------
    arm : str, default="arm"
        Column of X that holds the received arm. Patients to be predicted need not have it.
    estimator : {"auto", "hierarchical", "stacked"} or model, default="auto"
        "auto" and "stacked": `StackedClassifier`, the hierarchical model, with boosted trees where the data
        support them. "hierarchical": `HierarchicalClassifier` alone. Or any model of `treatsel.models`, or a
        grid search over one.
    codebook : Codebook, path or None, default=None
        Meaning and allowed values of the covariates. None: inferred from X, without ranges.
    event_is_good : bool, mapping of str to bool, or None, default=None
        Whether 1 is the good outcome, for all or by outcome. None: as the codebook states; the first
        outcome counts as good where nothing is stated (and its name, such as "dropout", does not say
        otherwise), others as not stated.
    groups : str or None, default=None
        Column of X that names the site or service. Its patients stay in one fold where every arm allows it,
        and share a random effect where the model has one. Never a predictor; predictions do without it.
    random_state : int, RandomState or None, default=None
        Seed of the folds for `assignment_`, `observation_` and `performance_`; the model of "auto" is
        deterministic.
    n_jobs : int or None, default=None
        Jobs for cross-validation, as in joblib.
    assignment : {"randomised", "routine"} or None, default=None
        How arms were assigned. Only with "randomised" are differences between arms causal effects;
        otherwise (None: not stated) they are associations, and patients with a low propensity for an arm
        are flagged.

    Attributes
    ----------
    arms_ : list
        Arms, sorted.
    outcomes_ : list of str
        Outcomes; the first is the main one.
    codebook_ : Codebook
        Covariates, arm and outcomes.
    model_ : FittedModel
        The one immutable model that predicts, recommends and explains; what a model file holds. All other
        attributes are views of it.
    models_ : dict of str to model
        One fitted model per outcome; from a file, the models as sums of terms.
    additive_ : dict of str to AdditiveModel or None
        The same models as sums of terms on the logit scale; None for a model that is not such a sum.
    event_is_good_ : dict of str to bool or None
        Direction of each outcome; None: not stated.
    arm_means_ : DataFrame of shape (n_arms, 5)
        Rate of the good main outcome if all patients received an arm: doubly robust, with interval.
    assignment_ : Assignment
        Model of assignment to arms, with overlap and effective sample size by arm.
    observation_ : dict of str to Observation
        Outcomes not always observed, with inverse-probability-of-observation weights; from a
        file, only the tables by arm.
    performance_ : dict of str to DataFrame
        Cross-fitted estimates for each outcome's model and for a penalized logistic regression.
    data_checks_ : list of DataCheck
        Findings of the data-quality checks of the development cohort: code and message.
    default_arm_ : label
        The best single arm of the development cohort by `arm_means_`, of those with enough events.
    training_ : DataFrame
        Per outcome and arm: n, n_observed, n_events, and whether these are enough to compare the arm.
    ranges_ : DataFrame of shape (n_numbers, 2)
        Expected range of each numeric covariate: from the 1st to the 99th percentile of the development
        cohort, extended on both sides by half of that distance.
    background_ : DataFrame
        Group means that represent the development cohort in explanations.

    Examples
    --------
    >>> from treatsel.datasets import make_cohort
    >>> cohort = make_cohort(600, random_state=1).cohort
    >>> selector = TreatmentSelector(event_is_good=False, random_state=0)
    >>> selector = selector.fit(cohort.X, cohort.y["dropout"])
    >>> selector.predict_by_arm(cohort.X.head(2)).shape
    (2, 6)
    """

    def __init__(
        self,
        arm: str = "arm",
        estimator: Any = "auto",
        codebook: Any = None,
        event_is_good: Any = None,
        groups: str | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        assignment: str | None = None,
    ) -> None:
        self.arm = arm
        self.estimator = estimator
        self.codebook = codebook
        self.event_is_good = event_is_good
        self.groups = groups
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.assignment = assignment

    # --- learning

    def fit(self, X: Any, y: Any = None) -> "TreatmentSelector":
        """Learn one model per outcome.

        Parameters
        ----------
        X : Cohort, or DataFrame of shape (n_patients, n_columns)
            A cohort gives covariates, arm, outcomes, site, persons and codebook by their roles. A DataFrame
            holds covariates and the arm column.
        y : Series or array of shape (n_patients,), or DataFrame of shape (n_patients, n_outcomes)
            Outcomes, 0 or 1; NaN: not observed. The others are weighted to represent such patients
            (inverse probability of observation), with a warning. None with a cohort.

        Raises
        ------
        InputError, CohortError, CodebookError
            If X, y and the codebook do not fit each other; all faults of X at once.
        """
        if self.n_jobs == 0:
            raise InputError("n_jobs is 0; give a number of jobs, -1 for all cores, or None for one.")
        # one BLAS thread: small matrices gain nothing from more, and lose much on a busy machine
        with threadpool_limits(limits=1, user_api="blas"):
            learned = learn(self, development_of(self, X, y))
        self.model_ = learned.model
        self._assignment, self._observation = learned.assignment, learned.observation
        return self

    @classmethod
    def from_model(cls, model: FittedModel, *, arm: str) -> "TreatmentSelector":
        """Return a fitted selector over a model, such as one read from a file."""
        selector = cls(arm=arm, assignment=model.assignment)
        selector.model_ = model
        return selector

    def with_models(self, models: Mapping[str, Any]) -> "TreatmentSelector":
        """Return this selector with other fitted models of some outcomes, such as recalibrated ones.

        All else, `performance_` included, remains as it was.

        Parameters
        ----------
        models : mapping of str to fitted model of `treatsel.models`
            Outcome to its new model, for the same arms.

        Raises
        ------
        InputError
            If an outcome is unknown, or a model has other arms or covariates.
        """
        fitted = self._fitted
        for name, model in models.items():
            fitted.outcome_named(name)
            for what, found, wanted in (
                ("arms", list(model.arms_), list(fitted.arms)),
                ("covariates", _covariates_of(model), list(fitted.codebook.covariates)),
            ):
                if found is not None and found != wanted:
                    raise InputError(f"The new model of {name!r} has the {what} {found}; it needs {wanted}.")
        changed = copy.copy(self)
        changed.model_ = replace(
            fitted,
            models={**fitted.models, **{name: additive_of(model) for name, model in models.items()}},
            estimators={**fitted.estimators, **models},
            model_id=None,
        )
        return changed

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a model."""
        return hasattr(self, "model_")

    # --- predicting

    @property
    def _fitted(self) -> FittedModel:
        check_is_fitted(self)
        return self.model_

    def covariates(self, X: Any) -> pd.DataFrame:
        """Return the covariates of X, checked against the codebook and in clean form."""
        return self._fitted.covariates(X)

    def predict_by_arm(self, X: Any, outcome: str | None = None) -> pd.DataFrame:
        """Return the probability of an outcome (None: the first) under each arm.

        Parameters
        ----------
        X : DataFrame, dict or list of dicts
            Covariates by name; other columns are ignored.
        outcome : str, optional
            Name of the outcome.

        Returns
        -------
        DataFrame of shape (n_patients, n_arms)
            Probabilities, 0 to 1.

        Raises
        ------
        CohortError
            If a covariate is missing or a value breaks the codebook.
        """
        found = self._fitted.predict_by_arm(X, outcome)
        if isinstance(found, pd.DataFrame):
            return found
        patient = self.model_.reader.patient(X)
        return pd.DataFrame([list(found.values())], index=[patient], columns=pd.Index(found))

    def predict_draws(self, X: Any, outcome: str | None = None) -> FloatArray:
        """Return posterior draws of `predict_by_arm`, shape (n_draws, n_patients, n_arms).

        Raises
        ------
        UnsupportedModelError
            If the model gives no draws (trees, lasso).
        """
        return self._fitted.predict_draws(X, outcome)

    def has_posterior_draws(self, outcome: str | None = None) -> bool:
        """Whether the model of an outcome (None: the first) gives posterior draws, and so intervals."""
        return self._fitted.has_posterior_draws(outcome)

    def predict(self, X: Any, *, level: float = 0.95, on_invalid: str = "raise") -> Predictions:
        """Return probabilities of all outcomes under all arms, with intervals, warnings and audit record.

        Parameters
        ----------
        X : DataFrame, dict or list of dicts
            Covariates by name.
        level : float
            Confidence level of the intervals, from the posterior draws of each probability.
        on_invalid : {"raise", "flag"}
            Whether a value that breaks the codebook raises, or becomes a coded warning on its patient.

        Returns
        -------
        Predictions
        """
        return self._fitted.predict(X, level=level, on_invalid=on_invalid)

    def reproduce(self, audit: Mapping[str, Any], record: Mapping[str, Any]) -> Predictions:
        """Return the prediction that an audit record is about, again; see `FittedModel.reproduce`."""
        return self._fitted.reproduce(audit, record)

    def recommend(
        self,
        X: Any,
        *,
        preferences: Mapping[str, float] | None = None,
        allowed: pd.DataFrame | None = None,
        excluded: Mapping[Any, str] | None = None,
        rule: str = "expected",
        margin: float = 0.0,
        level: float = 0.95,
        on_invalid: str = "raise",
    ) -> Recommendations:
        """Recommend an arm to each patient; see `treatsel.recommend` for the rules.

        Parameters
        ----------
        X : DataFrame, dict or list of dicts
            Covariates by name.
        preferences : mapping of outcome to weight, optional
            What this patient cares about; None: only the first outcome. The default arm, ties and
            the fallback of rule "supported" always refer to the first outcome.
        allowed, excluded, rule, margin, level
            As in `treatsel.recommend`.
        on_invalid : {"raise", "flag"}
            As in `predict`; a flagged patient is ``out_of_scope``.

        Returns
        -------
        Recommendations
        """
        return self._fitted.recommend(
            X,
            preferences=preferences,
            allowed=allowed,
            excluded=excluded,
            rule=rule,
            margin=margin,
            level=level,
            on_invalid=on_invalid,
        )


def _covariates_of(model: Any) -> list[str] | None:
    """Return the covariates of a fitted model in its additive form, or None if it has no such form."""
    additive = additive_of(model)
    return None if additive is None else list(additive.encoding.names)
