"""`FittedModel`: scoring, predicting, recommending and explaining, for records and for tables."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel.additive import SERVICES, warm_up
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.fitted import _records, _tables
from treatsel.fitted._data import ModelData
from treatsel.fitted._expected_scores import ExpectedScores
from treatsel.fitted._explanations import Explanations
from treatsel.fitted._options import DecisionOptions, date_or_none
from treatsel.fitted._recommendation_explanation import RecommendationExplanations
from treatsel.fitted._reproduce import reproduce
from treatsel.fitted._service_means import ServiceMeans
from treatsel.predictions import Predictions
from treatsel.preference import Valuation
from treatsel.recommendation import (
    DEFAULT_MARGIN,
    DEFAULT_P_SWITCH,
    DEFAULT_RULE,
    DecisionRule,
    Recommendations,
)

if TYPE_CHECKING:
    import pandas as pd

    from treatsel.eligibility import Rules
    from treatsel.preference import Criterion, Preferences, SideEffects


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedModel(Explanations, RecommendationExplanations, ExpectedScores, ServiceMeans, ModelData):
    """A fitted model of each outcome, for records and for tables; immutable, so that threads can share it.

    `TreatmentSelector.fit` creates one (its `model_`), `treatsel.serve.load_model` reads one from a file, and
    `treatsel.load_model` returns a selector for one. Records (dicts) are predicted without pandas, in a
    fraction of a millisecond; tables give the same numbers. The attributes are those of `ModelData`.
    """

    def __post_init__(self) -> None:
        """Compute in advance what every record needs, so that the first one is not delayed."""
        super().__post_init__()
        if self.compiled and any(model is not None and model.trees for model in self.models.values()):
            warm_up()
        if self.reads_records:
            record = dict.fromkeys(self.codebook.covariates)
            if self.site_column is not None:
                record[self.site_column] = next(iter(self.known_sites), None)
            self.predict(record, on_invalid="flag")
            if len(self.arms) > 1 and self.event_is_good.get(self.outcomes[0]) is not None:
                self.recommend(record, on_invalid="flag")

    def without_draws(self) -> "FittedModel":
        """Return the same model without posterior draws: probabilities only, faster and smaller."""
        bare = {name: model and replace(model, coefficient_draws=None) for name, model in self.models.items()}
        return replace(self, models=bare)

    def covariates(self, X: Any) -> "pd.DataFrame":
        """Return the covariates of X as a table, checked against the codebook and in clean form."""
        return _tables.read(self, X, "raise")[0]

    def predict_by_arm(
        self, X: Any, outcome: str | None = None, *, on_invalid: str = "raise", service: str = "known"
    ) -> Any:
        """Return the probability of an outcome (None: the first) under each arm.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value. Other keys and columns are ignored.
        outcome : str, optional
            Name of the outcome.
        on_invalid : {"raise", "flag"}
            "raise": a value that violates the codebook raises an error. "flag": all other patients are
            predicted; for a patient out of scope, through such a value or one outside the training range, all
            arms are NaN.
        service : {"known", "average", "new"}
            As in `predict`.

        Returns
        -------
        dict of arm to float, for a record (if every model is a sum of terms); or DataFrame of shape
        (n_patients, n_arms)
            Probabilities, 0 to 1.

        Raises
        ------
        InputError
            If a key is not a text, or the outcome is unknown.
        CohortError
            If a covariate is missing, or a value violates the codebook; all faults are reported at once.
        """
        name = self.outcome_named(outcome)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        check_choice("service", service, SERVICES)
        if self.is_record(X):
            return _records.predict_by_arm(self, X, name, on_invalid, service)
        return _tables.predict_by_arm(self, X, name, on_invalid, service)

    def predict_draws(self, X: Any, outcome: str | None = None, *, service: str = "known") -> FloatArray:
        """Return posterior draws of `predict_by_arm`, shape (n_draws, n_patients, n_arms).

        Raises
        ------
        UnsupportedModelError
            If the model has no posterior draws (trees alone, lasso).
        """
        name = self.outcome_named(outcome)
        model = self.models[name]
        if model is None:
            raise UnsupportedModelError(
                "This model has no posterior draws; a logistic regression with a ridge penalty has."
            )
        check_choice("service", service, SERVICES)
        return model.predict_draws(_tables.read_with_sites(self, X, "raise", service)[0], service)

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
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value.
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

        Raises
        ------
        InputError, CohortError
            As in `predict_by_arm`; with on_invalid="flag", only for invalid names, not for invalid values.
        """
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        check_choice("service", service, SERVICES)
        way: Any = _records if self.is_record(X) else _tables
        found: Predictions = way.predict(
            self, X, level=check_level(level), on_invalid=on_invalid, date=date_or_none(date), service=service
        )
        return found

    def reproduce(self, audit: Mapping[str, Any], record: Mapping[str, Any], **given: Any) -> Any:
        """Recompute the prediction, recommendation or explanation that an audit record documents.

        Parameters
        ----------
        audit : mapping
            The `audit` of `Predictions`, `Recommendations` or `Explanation` of one record, as it was returned
            or read from JSON.
        record : mapping of str to value
            The patient's record at that time.
        **given
            What an arm was recommended with and the audit record holds only a digest of: `allowed`,
            `eligibility`, and `preferences` (if `Preferences`) with `criteria`, `measurements` and
            `side_effects`.

        Returns
        -------
        Predictions, Recommendations or Explanation
            Of the kind that was recorded, with the same preferences, rule, margin, exclusions and other
            options.

        Raises
        ------
        InputError
            If the audit record belongs to another model, another version of the library, another record or
            other permissions, or if the recommendation differs from the one that was recorded; the message
            says in what.
        UnsupportedModelError
            If a model is not a sum of terms.
        """
        return reproduce(self, audit, record, given)

    def recommend(
        self,
        X: Any,
        *,
        preferences: "Mapping[str, float] | Preferences | None" = None,
        criteria: "Sequence[Criterion]" = (),
        measurements: Mapping[str, Any] | None = None,
        side_effects: "SideEffects | None" = None,
        eligibility: "Rules | str | Path | None" = None,
        allowed: "pd.DataFrame | None" = None,
        excluded: Mapping[Any, str] | None = None,
        comparator: Any = None,
        rule: str = DEFAULT_RULE,
        margin: float = DEFAULT_MARGIN,
        level: float = 0.95,
        p_switch: float = DEFAULT_P_SWITCH,
        on_invalid: str = "raise",
        date: datetime.date | str | None = None,
        service: str = "known",
    ) -> Recommendations:
        """Recommend an arm for each patient; see `treatsel.recommend` for the rules.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value.
        preferences : mapping of outcome to weight, or Preferences, optional
            Weight of each outcome in the utility; None: only the first outcome counts. `Preferences` may also
            name other criteria, and may leave a set of weights: expected utility is then that at their mean,
            and posterior draws are paired with draws of the weights. The default arm, which is the comparator
            unless one is named, always refers to the first outcome.
        criteria : sequence of Criterion
            With `Preferences`: ranges of criteria, in the units of the utility; an outcome that is not listed
            has the range 0 to 1. Needed for every criterion that the model does not predict.
        measurements : mapping of criterion to (mapping of arm to value), optional
            With `Preferences`: the values of criteria that the model does not predict, such as waiting time.
        side_effects : SideEffects, optional
            With `Preferences`: published rates of side effects, each a criterion from 0 to 1. Their intervals
            enter by draws.
        eligibility : Rules or path, optional
            Rules that exclude arms or warn, applied to X before arms are compared. X needs their columns. A
            service binds them once: ``Rules.read(path, codebook=model.codebook, arms=model.arms)``.
        allowed, excluded, comparator, rule, margin, level, p_switch
            As in `treatsel.recommend`.
        on_invalid : {"raise", "flag"}
            As in `predict`; with "flag", a patient with an invalid value is ``out_of_scope``.
        date : date or str, optional
            As in `predict`.
        service : {"known", "average", "new"}
            As in `predict`.

        Returns
        -------
        Recommendations

        Raises
        ------
        InputError, CohortError
            As in `predict`; also if an option is invalid, or there are fewer than two arms.
        """
        if len(self.arms) < 2:
            raise InputError(
                f"The model has one arm, {self.arms[0]!r}; with one arm, only predictions are possible."
            )
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        check_choice("service", service, SERVICES)
        options = DecisionOptions(
            valuation=Valuation.of(
                preferences,
                criteria=criteria,
                measurements=measurements,
                side_effects=side_effects,
                outcomes=self.outcomes,
                event_is_good=self.event_is_good,
                arms=self.arms,
            ),
            eligibility=None if eligibility is None else self._rules(eligibility),
            excluded=excluded,
            by=DecisionRule.of(
                self.arms,
                rule=rule,
                margin=margin,
                level=level,
                p_switch=p_switch,
                default_arm=self.default_arm,
                comparator=comparator,
            ),
            on_invalid=on_invalid,
            date=date_or_none(date),
            service=service,
        )
        if allowed is None and self.is_record(X):
            return _records.recommend(self, X, options)
        return _tables.recommend(self, X, options, allowed=allowed)

    def _rules(self, eligibility: Any) -> "Rules":
        from treatsel.eligibility import Rules

        return Rules.of(eligibility, self.codebook, self.arms)
