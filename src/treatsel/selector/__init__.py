"""`TreatmentSelector`: one model per outcome, and what each patient's best arm is."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._version import __version__
from treatsel.codebook import by_id, clean_covariates, frame_of
from treatsel.errors import CohortError, InputError, UnsupportedModelError
from treatsel.predictions import Predictions, digest, fingerprint
from treatsel.preference import check_preferences, utility
from treatsel.recommendation import Recommendations, recommend
from treatsel.selector._background import MIN_EVENTS, counts_by_arm, ranges_of, summarize
from treatsel.selector._default_arm import (
    ASSIGNMENTS,
    check_assignment,
    doubly_robust_arm_means,
    learn_assignment,
)
from treatsel.selector._fit import ESTIMATORS
from treatsel.selector._input import (
    check_no_outcome,
    completed_codebook,
    development_codebook,
    directions,
    outcome_table,
)
from treatsel.selector._outcome import FittedOutcome, learn_outcome
from treatsel.selector._served import evidence, interval, scored, served, utility_draws, warnings_of_models
from treatsel.selector.data_checks import check_auc, check_overlap, run_checks, warn_of

__all__ = ["ASSIGNMENTS", "ESTIMATORS", "MIN_EVENTS", "TreatmentSelector"]

_BLOCK = 512  # patients whose draws are held in memory at once


class TreatmentSelector(BaseEstimator):  # type: ignore[misc,unused-ignore] # scikit-learn ships no types
    """Learn how likely each outcome is under each arm, and recommend.

    Parameters
    ----------
    arm : str, default="arm"
        Column of X that holds the received arm. Patients to be predicted need not have it.
    estimator : {"auto", "hierarchical", "stacked"} or model, default="auto"
        "auto" and "stacked": `StackedClassifier`, the hierarchical model with as many trees as the data
        ask for. "hierarchical": `HierarchicalClassifier` alone. Or any model of `treatsel.models`, or a
        grid search over one.
    codebook : Codebook, path or None, default=None
        What the covariates mean and may hold. None drafts one from X, without ranges.
    event_is_good : bool, mapping of str to bool, or None, default=None
        Whether 1 is the good outcome, for all or by outcome. None: as the codebook states; the first
        outcome counts as good where nothing is stated (and its name, such as "dropout", does not say
        otherwise), others as not stated.
    groups : str or None, default=None
        Column of X that names the site or service. It keeps folds together, is a random effect where
        the model has one, and never a predictor; patients to be predicted need not have it.
    random_state : int, RandomState or None, default=None
        Deals patients to folds for `assignment_`, `observation_` and `performance_`; the model of "auto"
        is deterministic.
    n_jobs : int or None, default=None
        Jobs for cross-validation, as in joblib.
    assignment : {"randomised", "routine"} or None, default=None
        How arms were given. Only "randomised" makes differences between arms effects; else (None: nobody
        said) they are called associations, and patients who hardly ever got an arm are flagged.

    Attributes
    ----------
    arms_ : list
        Arms, sorted.
    outcomes_ : list of str
        Outcomes; the first is the main one.
    codebook_ : Codebook
        Covariates, arm and outcomes.
    models_ : dict of str to model
        One fitted model per outcome.
    additive_ : dict of str to AdditiveModel or None
        The same models as sums of terms on the logit scale; None for a model that is no such sum.
    event_is_good_ : dict of str to bool or None
        Direction of each outcome; None: not stated.
    arm_means_ : DataFrame of shape (n_arms, 5)
        Rate of the good main outcome if everyone got an arm: doubly robust, with interval.
    assignment_ : Assignment
        Model of who got which arm, with overlap and effective sample size by arm.
    observation_ : dict of str to Observation
        Outcomes not always observed, with the weights that make up for it (after `fit`; in no file).
    performance_ : dict of str to DataFrame
        Cross-fitted figures of each outcome's model, beside those of a penalised logistic regression.
    data_checks_ : list of Guard
        What was found shaky about the development cohort: code and message (after `fit`; in no file).
    default_arm_ : label
        The best single arm of the development cohort by `arm_means_`, of those with enough events.
    training_ : DataFrame
        Per outcome and arm: n, n_observed, n_events, and whether these are enough to compare the arm.
    ranges_ : DataFrame of shape (n_numbers, 2)
        Per numeric covariate the lower and upper end of what the development cohort held: from the
        1st to the 99th percentile, half as much again wider on both sides.
    background_ : DataFrame
        Group means that stand in for the development cohort in explanations.

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

    def fit(self, X: Any, y: Any) -> "TreatmentSelector":
        """Learn one model per outcome.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Covariates and the arm column.
        y : Series or array of shape (n_patients,), or DataFrame of shape (n_patients, n_outcomes)
            Outcomes, 0 or 1; NaN: not observed. The others are weighted to stand for such patients
            (inverse probability of observation), with a warning.

        Raises
        ------
        InputError, CohortError, CodebookError
            If X, y and the codebook do not fit each other; all faults of X at once.
        """
        if self.n_jobs == 0:
            raise InputError("n_jobs is 0; give a number of jobs, -1 for all cores, or None for one.")
        # one BLAS thread: small matrices gain nothing from more, and lose much on a busy machine
        with threadpool_limits(limits=1, user_api="blas"):
            return self._fit(X, y)

    def _fit(self, X: Any, y: Any) -> "TreatmentSelector":
        frame = frame_of(X)
        outcomes = outcome_table(y, frame)
        randomised = check_assignment(self.assignment) == "randomised"
        book = development_codebook(self.codebook, frame, self.arm, self.groups)
        check_no_outcome(book, outcomes)
        by_id(frame, book)  # raises on an id that occurs twice
        names = [*book.covariates, self.arm]
        clean, faults = book.parse(frame, names=names)
        if faults:
            raise CohortError(f"X does not fit the codebook ({len(faults)} faults):", faults)
        groups = frame[self.groups].astype("object") if self.groups else None
        covariates, received = clean[list(book.covariates)], clean[self.arm]
        self.arms_ = sorted(received.unique(), key=str)
        self.outcomes_ = list(outcomes.columns)
        self.event_is_good_ = directions(self.event_is_good, self.outcomes_, book)
        self.codebook_ = completed_codebook(book, clean, self.event_is_good_)
        self.training_ = counts_by_arm(outcomes, received)
        fitted = {name: self._learn(clean, outcomes[name], groups) for name in self.outcomes_}
        self.models_ = {name: part.model for name, part in fitted.items()}
        self.additive_ = {name: part.additive for name, part in fitted.items()}
        self.performance_ = {name: part.performance for name, part in fitted.items()}
        self.observation_ = {name: part.observation for name, part in fitted.items() if part.observation}
        self.assignment_ = learn_assignment(clean, self.arm, groups=groups, random_state=self.random_state)
        main = self.outcomes_[0]
        self.arm_means_ = doubly_robust_arm_means(
            fitted[main],
            outcomes[main],
            received,
            self.assignment_,
            randomised=randomised,
            good=bool(self.event_is_good_[main]),
            groups=groups,
        )
        enough = [arm for arm, is_enough in evidence(self.training_, [main]).items() if is_enough]
        self.default_arm_: Any = self.arm_means_.loc[enough or self.arms_, "value"].idxmax()
        self.ranges_, self.background_ = ranges_of(covariates), summarize(covariates)
        self.intended_use_: Mapping[str, Any] | None = None
        self.model_id_: str | None = None
        self.fingerprint_: str | None = fingerprint(clean)
        persons = next((frame[name] for name in book.names("person") if name in frame), None)
        self.data_checks_ = run_checks(covariates, received, outcomes, groups=groups, persons=persons)
        self.data_checks_ += [] if randomised else check_overlap(self.assignment_)
        for name, part in fitted.items():
            self.data_checks_ += check_auc(part.figure("within_arm_auc"), name)
        warn_of(self.data_checks_)
        return self

    def _learn(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series | None) -> FittedOutcome:
        own = {name: getattr(self, name) for name in ("arm", "estimator", "random_state", "n_jobs")}
        return learn_outcome(X, y, arms=self.arms_, groups=groups, **own)

    # --- predicting

    def _outcome(self, outcome: str | None) -> str:
        check_is_fitted(self, "models_")
        return self.outcomes_[0] if outcome is None else check_choice("outcome", outcome, self.outcomes_)

    def _clean(self, X: Any, on_invalid: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        check_is_fitted(self, "models_")
        check_choice("on_invalid", on_invalid, ["raise", "flag"])
        frame = by_id(frame_of(X), self.codebook_)
        clean, found = clean_covariates(frame, self.codebook_, self.ranges_, on_invalid)
        return clean, found

    def covariates(self, X: Any) -> pd.DataFrame:
        """Return the covariates of X, checked against the codebook and in clean form."""
        return self._clean(X, "raise")[0]

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
        name = self._outcome(outcome)
        if (model := served(self, X)) is not None:
            return model.predict_table(X, name)
        table: pd.DataFrame = scored(self, name).predict_by_arm(self._clean(X, "raise")[0])
        return table

    def predict_draws(self, X: Any, outcome: str | None = None) -> FloatArray:
        """Return posterior draws of `predict_by_arm`, shape (n_draws, n_patients, n_arms).

        Raises
        ------
        UnsupportedModelError
            If the model gives no draws (trees, lasso).
        """
        name = self._outcome(outcome)
        model = self.additive_[name]
        if model is None:
            raise UnsupportedModelError("This model gives no posterior draws; a ridge logistic one does.")
        return model.predict_draws(self._clean(X, "raise")[0])

    def has_posterior_draws(self, outcome: str | None = None) -> bool:
        """Whether the model of an outcome (None: the first) gives posterior draws, and so intervals."""
        name = self._outcome(outcome)
        model = self.additive_[name]
        return model is not None and model.coefficient_draws is not None

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
        check_is_fitted(self, "models_")
        if (model := served(self, X)) is not None:
            return model.predict(X, level=level, on_invalid=on_invalid)
        clean, found = self._clean(X, on_invalid)
        check_level(level)
        tables, lower, upper = {}, {}, {}
        for name in self.outcomes_:
            tables[name] = scored(self, name).predict_by_arm(clean)
            lower[name], upper[name] = interval(self.additive_[name], tables[name], clean, level)
        found = pd.concat([found, *warnings_of_models(self, clean)], ignore_index=True)
        audit = {
            "model_id": self.model_id_,
            "library_version": __version__,
            "input_sha256": digest(clean),
            "intended_use": self.intended_use_,
            "assignment": self.assignment,
            "level": level,
            "on_invalid": on_invalid,
        }
        return Predictions(tables=tables, lower=lower, upper=upper, level=level, warnings=found, audit=audit)

    def replay(self, audit: Mapping[str, Any], record: Mapping[str, Any]) -> Predictions:
        """Return the prediction that an audit record is about, made again; see `ServedModel.replay`.

        Raises
        ------
        InputError
            If the audit record is of another model, another version of the library, or another record.
        UnsupportedModelError
            If a model is no sum of terms.
        """
        check_is_fitted(self, "models_")
        if (model := served(self, record)) is None:
            raise UnsupportedModelError("Only a record (a dict) of models that are sums can be replayed.")
        return model.replay(audit, record)

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
        check_is_fitted(self, "models_")
        if allowed is None and (model := served(self, X)) is not None:
            return model.recommend(
                X,
                preferences=preferences,
                excluded=excluded,
                rule=rule,
                margin=margin,
                level=level,
                on_invalid=on_invalid,
            )
        clean, found = self._clean(X, on_invalid)
        weights = check_preferences(preferences, tuple(self.outcomes_), self.event_is_good_)
        tables = {name: scored(self, name).predict_by_arm(clean) for name in weights}
        flagged = Predictions(tables=tables, lower={}, upper={}, level=level, warnings=found).out_of_scope
        parts = []
        for start in range(0, len(clean), _BLOCK):
            rows = slice(start, start + _BLOCK)
            block = {name: table.iloc[rows] for name, table in tables.items()}
            parts.append(
                recommend(
                    utility(block, weights, self.event_is_good_),
                    draws=utility_draws(self.additive_, clean.iloc[rows], weights, self.event_is_good_),
                    default_arm=self.default_arm_,
                    allowed=allowed,
                    excluded=excluded,
                    evidence=evidence(self.training_, weights),
                    in_scope=~flagged,
                    rule=rule,
                    margin=margin,
                    level=level,
                )
            )
        return Recommendations(
            table=pd.concat([part.table for part in parts]),
            utility=pd.concat([part.utility for part in parts]),
            rule=rule,
            margin=margin,
            level=level,
        )
