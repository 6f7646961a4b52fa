"""`TreatmentSelector`: a scikit-learn estimator with one model per outcome."""

import copy
import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray
from treatsel.eligibility import Rules
from treatsel.errors import InputError
from treatsel.fitted import FittedModel
from treatsel.predictions import Predictions
from treatsel.preference import Preferences
from treatsel.recommendation import DEFAULT_MARGIN, DEFAULT_RULE, Recommendations
from treatsel.selector._attributes import LearnedAttributes, covariates_of
from treatsel.selector._background import MIN_EVENTS
from treatsel.selector._eligibility import may_receive_all
from treatsel.selector._fit import ESTIMATORS
from treatsel.selector._input import ASSIGNMENTS, development_of
from treatsel.selector._joint import drawn_apart
from treatsel.selector._learn import learn
from treatsel.selector._showing import Shown

__all__ = ["ASSIGNMENTS", "ESTIMATORS", "MIN_EVENTS", "TreatmentSelector"]


class TreatmentSelector(LearnedAttributes, Shown):
    """Estimate the probability of each outcome under each arm, and recommend an arm.

    Parameters
    ----------
    arm : str, default="arm"
        Column of X that holds the received arm. The column is not needed for prediction.
    estimator : {"auto", "hierarchical", "stacked"} or model, default="auto"
        "auto" and "stacked": `StackedClassifier`, a hierarchical logistic regression with boosted trees as
        far as the data support them. "hierarchical": `HierarchicalClassifier`, without trees. Alternatively,
        an unfitted model of `treatsel.models`, or a scikit-learn search (`GridSearchCV`) over one.
    codebook : Codebook, path or None, default=None
        Meaning and allowed values of the covariates. None: the codebook of a cohort; for a DataFrame,
        inferred from X, without limits on numeric values.
    event_is_good : bool, mapping of str to bool, or None, default=None
        Whether 1 is the good outcome, for all outcomes or by outcome. None: as the codebook states, or the
        definition of an outcome of `treatsel.outcome` (by name, or by the `attrs` of y). An outcome whose
        direction is stated nowhere is refused, as are statements that contradict each other.
    groups : str or None, default=None
        Column of X that identifies the site or service. In cross-fitting, patients of a site are kept in
        the same fold, unless one fold would then hold all events, or all non-events, of an arm. The models
        of "auto", "stacked" and "hierarchical" have random site effects, and know the sites with 10 patients
        or more, see `predict`. The column is not a predictor. None with a cohort: its site column; if it has
        none and a person has several rows, its person column.
    random_state : int, RandomState or None, default=None
        Seed for the folds of `assignment_`, `observation_` and `performance_`. The models of "auto",
        "stacked" and "hierarchical" are deterministic.
    n_jobs : int or None, default=None
        Number of parallel jobs for cross-fitting, as in joblib.
    assignment : {"randomised", "routine"} or None, default=None
        How arms were assigned in the development cohort. "randomised": differences between arms are
        reported as causal effects. "routine" (routine care) or None (not stated): differences are reported
        as associations, and patients with a low propensity for an arm are flagged.
    missing : {"covariates"}, dict or None, default=None
        What is used to account for outcomes that were not observed. None: covariates, arm and what was
        observed after the start: the process columns of a cohort, and outcomes that were observed in every
        patient, such as dropout. The models of "auto", "stacked" and "hierarchical" then predict with and
        without dropout, and average over its probability. "covariates": covariates and arm alone.
        A dict holds this as ``method``, and a delta-adjustment for a sensitivity analysis: ``shift``, by how
        much patients with a lost outcome fare worse than others with the same covariates, arm and dropout
        (a number, or one by outcome; 0 to 5 logits, negative: better), and ``unit``, "logits" (default) or
        "points" of the score behind the outcome. ``interim``: columns of interim scores from which lost
        outcomes are imputed, in the order of time; a list per instrument.
    priors : Priors, mapping of str to Priors, or None, default=None
        What is known from elsewhere, such as published trials, of the first outcome, or by outcome.

    Attributes
    ----------
    arms_ : list
        Arms, sorted.
    outcomes_ : list of str
        Outcomes; the first is the main outcome.
    codebook_ : Codebook
        Covariates, arm and outcomes.
    model_ : FittedModel
        The immutable fitted model used for all predictions, recommendations and explanations, and saved to
        model files. All other attributes are derived from it, except the values by patient in `assignment_`
        and `observation_`, which exist only after `fit`.
    models_ : dict of str to model
        Fitted model of each outcome. After loading from a file: its additive form, as in `additive_`.
    additive_ : dict of str to AdditiveModel or None
        The same models in additive form (sums of terms on the logit scale); None for a model without one.
    event_is_good_ : dict of str to bool or None
        Whether 1 is good, by outcome; None: not specified.
    arm_means_ : DataFrame of shape (n_arms, 7)
        Doubly robust estimate, by arm, of the rate of the good main outcome if all patients received the
        arm: value, lower, upper, se, n and (only after `fit`) method; and p_best, the posterior probability
        that the arm is the best one for all patients (NaN without posterior draws).
    assignment_ : Assignment
        Model of assignment to arms (propensity model), with overlap and effective sample size by arm.
    observation_ : dict of str to Observation
        For each outcome that is missing in some patients: inverse-probability-of-observation weights, and a
        table by arm. After loading from a file: the table only.
    performance_ : dict of str to DataFrame
        Cross-fitted performance, by outcome, of the model and of a baseline (ridge logistic regression).
    data_checks_ : list of DataCheck
        Findings of the data-quality checks of the development cohort: code and message.
    default_arm_ : label
        The best single arm: the one with the highest value in `arm_means_` among the arms with sufficient
        events of the main outcome (among all arms if none has sufficient events).
    training_ : DataFrame
        One row per outcome and arm: outcome, arm, n, n_observed, n_events, and sufficient_events (at least
        10 events and 10 non-events, the minimum for comparing the arm).
    ranges_ : DataFrame of shape (n_numeric_covariates, 2)
        Expected range of each numeric covariate: 1st to 99th percentile in the development cohort, extended
        on both sides by half the distance between them.
    background_ : DataFrame
        Means of groups of similar patients: the development cohort in explanations.

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
        missing: Any = None,
        priors: Any = None,
    ) -> None:
        self.arm = arm
        self.estimator = estimator
        self.codebook = codebook
        self.event_is_good = event_is_good
        self.groups = groups
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.assignment = assignment
        self.missing = missing
        self.priors = priors

    # --- learning

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: None = None,
        extra: Any = None,
        *,
        keep_therapists: bool = False,
        eligibility: Rules | str | Path | None = None,
    ) -> "TreatmentSelector":
        """Fit one model per outcome.

        Parameters
        ----------
        X : Cohort, or DataFrame of shape (n_patients, n_columns)
            A cohort provides covariates, arm, outcomes, site and person (columns with these roles), and the
            codebook. A DataFrame holds the covariates, the arm column, the site if `groups` is given, and
            site and therapist if `codebook` names them (else a warning says that they are ignored).
        y : Series or array of shape (n_patients,), or DataFrame of shape (n_patients, n_outcomes)
            Outcomes, 0 or 1; NaN: not observed. If an outcome is missing in some patients, see `missing`; a
            warning says so. None: the outcomes of the cohort, or those that the codebook derives from scores.
        sample_weight : None
            Not supported: a selector weights patients itself, to account for missing outcomes.
        extra : DataFrame of shape (n_patients, n_extra_columns), optional
            Further columns of a table, with the index of X: sites, persons, later scores and whatever else
            has a role in `codebook`. The fit is that of a `Cohort` of all columns.
        keep_therapists : bool
            Whether to keep the effects of therapists, see `therapist_effects`; predictions are the same.
        eligibility : Rules or path, optional
            Rules that exclude arms: `arm_means_` and the best single arm are then those of the patients who
            may receive every arm. Predictions are the same; give the rules to `recommend` as well.

        Raises
        ------
        InputError, CohortError, CodebookError
            If X, y and the codebook are inconsistent. All faults of X are reported at once.
        """
        if sample_weight is not None:
            raise InputError(
                "TreatmentSelector.fit does not accept sample_weight: it weights patients itself, where "
                "outcomes are missing. Fit a model such as treatsel.models.PooledClassifier with weights."
            )
        if self.n_jobs == 0:
            raise InputError("n_jobs is 0; give a number of jobs, -1 for all cores, or None for one.")
        # one BLAS thread: more do not speed up small matrices, and slow them down on a busy machine
        with threadpool_limits(limits=1, user_api="blas"):
            data = development_of(self, X, y, extra)
            table = X if extra is None else X.join(extra)
            eligible = may_receive_all(eligibility, table, data.received, data.codebook)
            learned = learn(self, data, keep_therapists=keep_therapists, eligible=eligible)
        self.model_ = learned.model
        self._assignment, self._observation = learned.assignment, learned.observation
        self._row_keys = learned.keys
        return self

    @classmethod
    def from_model(cls, model: FittedModel, *, arm: str) -> "TreatmentSelector":
        """Return a fitted selector for a `FittedModel`, such as one read from a file."""
        selector = cls(arm=arm, assignment=model.assignment)
        selector.model_ = model
        return selector

    def with_models(self, models: Mapping[str, Any]) -> "TreatmentSelector":
        """Return a copy of this selector in which the models of some outcomes are replaced.

        The new models are, for example, recalibrated ones. Everything else, including `performance_`, is
        unchanged; `model_id_` becomes None.

        Parameters
        ----------
        models : mapping of str to fitted model of `treatsel.models`
            New model by outcome, with the same arms and covariates.

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
                ("covariates", covariates_of(model), list(fitted.codebook.covariates)),
            ):
                if found is not None and found != wanted:
                    raise InputError(f"The new model of {name!r} has the {what} {found}; it needs {wanted}.")
        changed, development = copy.copy(self), fitted.development
        others = {name: own for name, own in development.therapists.items() if name not in models}
        development = replace(development, therapists=others)
        if any(hasattr(model, "row_keys_") for model in models.values()):
            # in a file, digests of the development cohort alone would make that of the update look new
            development = replace(development, row_digests=None)
        changed.model_ = replace(
            fitted,
            development=development,
            models={**fitted.models, **{name: drawn_apart(model) for name, model in models.items()}},
            estimators={**fitted.estimators, **models},
            model_id=None,
        )
        return changed

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the selector is fitted."""
        return hasattr(self, "model_")

    # --- predicting

    def covariates(self, X: Any) -> pd.DataFrame:
        """Return the covariates of X, checked against the codebook and in clean form."""
        return self._fitted.covariates(X)

    def predict_by_arm(
        self, X: Any, outcome: str | None = None, *, on_invalid: str = "raise", service: str = "known"
    ) -> pd.DataFrame:
        """Return the probability of an outcome (None: the first) under each arm.

        Parameters
        ----------
        X : DataFrame, dict or list of dicts
            Covariates by name; other columns are ignored.
        outcome : str, optional
            Name of the outcome.
        on_invalid : {"raise", "flag"}
            As in `predict`; with "flag", the probabilities of a patient out of scope are NaN.
        service : {"known", "average", "new"}
            As in `predict`.

        Returns
        -------
        DataFrame of shape (n_patients, n_arms)
            Probabilities, 0 to 1.

        Raises
        ------
        CohortError
            If a covariate is missing or a value violates the codebook.
        """
        found = self._fitted.predict_by_arm(X, outcome, on_invalid=on_invalid, service=service)
        if isinstance(found, pd.DataFrame):
            return found
        patient = self.model_.reader.patient(X)
        return pd.DataFrame([list(found.values())], index=[patient], columns=pd.Index(found))

    def predict_draws(self, X: Any, outcome: str | None = None, *, service: str = "known") -> FloatArray:
        """Return posterior draws of `predict_by_arm`, shape (n_draws, n_patients, n_arms), if it has any."""
        return self._fitted.predict_draws(X, outcome, service=service)

    def predict(
        self,
        X: Any,
        *,
        level: float = 0.95,
        on_invalid: str = "raise",
        date: datetime.date | str | None = None,
        service: str = "known",
    ) -> Predictions:
        """Return probabilities of all outcomes under all arms, with intervals, warnings and audit record.

        Parameters
        ----------
        X : DataFrame, dict or list of dicts
            Covariates by name.
        level : float
            Level of the intervals, which are quantiles of the posterior draws of each probability.
        on_invalid : {"raise", "flag"}
            Whether a value that violates the codebook raises an error or becomes a coded warning.
        date : date or str such as "2027-01-31", optional
            Date of the prediction. If it is after the review date in the intended use, every patient has the
            warning ``model_expired``. None: this is not checked; the clock is never read.
        service : {"known", "average", "new"}
            For which service. "known": that of the patient, where X has the site and the model knows it, and
            otherwise a new one. "average": the average service. "new": a service that was not in the
            development cohort. Without site effects, the three are the same.

        Returns
        -------
        Predictions
        """
        return self._fitted.predict(X, level=level, on_invalid=on_invalid, date=date, service=service)

    def reproduce(self, audit: Mapping[str, Any], record: Mapping[str, Any], **given: Any) -> Any:
        """Recompute what an audit record documents; see `treatsel.fitted.FittedModel.reproduce`."""
        return self._fitted.reproduce(audit, record, **given)

    def recommend(
        self,
        X: Any,
        *,
        preferences: Mapping[str, float] | Preferences | None = None,
        eligibility: Rules | str | Path | None = None,
        comparator: Any = None,
        rule: str = DEFAULT_RULE,
        margin: float = DEFAULT_MARGIN,
        **options: Any,
    ) -> Recommendations:
        """Recommend an arm for each patient; see `treatsel.recommend` for the rules.

        Parameters
        ----------
        X : DataFrame, dict or list of dicts
            Covariates by name.
        preferences : mapping of outcome to weight, or Preferences, optional
            Weight of each outcome in the utility; None: only the first outcome counts.
        eligibility : Rules or path, optional
            Rules that exclude arms or warn, applied to X before arms are compared. X needs their columns.
        comparator, rule, margin
            As in `treatsel.recommend`.
        **options
            As in `treatsel.fitted.FittedModel.recommend`: criteria and measurements beside the outcomes,
            allowed, excluded, level, p_switch, on_invalid, date, service.

        Returns
        -------
        Recommendations
        """
        return self._fitted.recommend(
            X,
            preferences=preferences,
            eligibility=eligibility,
            comparator=comparator,
            rule=rule,
            margin=margin,
            **options,
        )


def check_selector(model: Any) -> TreatmentSelector:
    """Return `model` if it is a fitted selector.

    Raises
    ------
    InputError
        If it is something else, such as a fitted model of `treatsel.models`.
    NotFittedError
        If it is a selector that is not fitted.
    """
    if not isinstance(model, TreatmentSelector):
        remedy = "Fit TreatmentSelector(estimator=...) with such a model"
        remedy += ", or use its own predict_by_arm." if hasattr(model, "predict_by_arm") else "."
        raise InputError(f"A fitted TreatmentSelector is needed, not a {type(model).__name__}. {remedy}")
    check_is_fitted(model, "model_")
    return model
