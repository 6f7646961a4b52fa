"""`FittedModel`: scoring, predicting, recommending and explaining, for records and for tables."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._version import __version__
from treatsel.additive import Explainer, positions_of, warm_up
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.explanation import Explanation, arms_at
from treatsel.fitted import _records, _tables
from treatsel.fitted._data import ModelData
from treatsel.predictions import Predictions
from treatsel.preference import check_preferences
from treatsel.recommendation import Recommendations

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedModel(ModelData):
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
            self.predict(dict.fromkeys(self.codebook.covariates), on_invalid="flag")

    def without_draws(self) -> "FittedModel":
        """Return the same model without posterior draws: probabilities only, faster and smaller."""
        bare = {name: model and replace(model, coefficient_draws=None) for name, model in self.models.items()}
        return replace(self, models=bare)

    def covariates(self, X: Any) -> "pd.DataFrame":
        """Return the covariates of X as a table, checked against the codebook and in clean form."""
        return _tables.read(self, X, "raise")[0]

    def predict_by_arm(self, X: Any, outcome: str | None = None) -> Any:
        """Return the probability of an outcome (None: the first) under each arm.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value. Other keys and columns are ignored.
        outcome : str, optional
            Name of the outcome.

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
        if self._is_record(X):
            return _records.predict_by_arm(self, X, name)
        return _tables.predict_by_arm(self, X, name)

    def predict_draws(self, X: Any, outcome: str | None = None) -> FloatArray:
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
        return model.predict_draws(self.covariates(X))

    def predict(self, X: Any, *, level: float = 0.95, on_invalid: str = "raise") -> Predictions:
        """Return probabilities of all outcomes under all arms, with intervals, warnings and audit record.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value.
        level : float
            Level of the intervals, which are quantiles of the posterior draws of each probability.
        on_invalid : {"raise", "flag"}
            Whether a value that violates the codebook raises an error or becomes a coded warning.

        Returns
        -------
        Predictions

        Raises
        ------
        InputError, CohortError
            As in `predict_by_arm`; with on_invalid="flag", only for invalid names, not for invalid values.
        """
        check_level(level)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        if self._is_record(X):
            return _records.predict(self, X, level=level, on_invalid=on_invalid)
        return _tables.predict(self, X, level=level, on_invalid=on_invalid)

    def reproduce(self, audit: Mapping[str, Any], record: Mapping[str, Any]) -> Predictions:
        """Recompute the prediction that an audit record documents.

        Parameters
        ----------
        audit : mapping
            `Predictions.audit` of the prediction for one record, as it was returned or read from JSON.
        record : mapping of str to value
            The patient's record at that time.

        Returns
        -------
        Predictions

        Raises
        ------
        InputError
            If the audit record belongs to another model, another version of the library, or another record.
        UnsupportedModelError
            If a model is not a sum of terms.
        """
        if not self.reads_records:
            raise UnsupportedModelError(
                "Only records predicted by models that are sums of terms can be reproduced."
            )
        wanted = ("model_id", "library_version", "input_sha256", "level", "on_invalid")
        if not isinstance(audit, Mapping) or (lacking := [key for key in wanted if key not in audit]):
            found = f"it lacks {lacking}" if isinstance(audit, Mapping) else "it is not a mapping"
            raise InputError(f"This is not the audit record of a prediction: {found}.")
        if self.model_id is None:
            raise InputError("This model has no id to compare with: it is not from a file. Save and load it.")
        for key, mine in (("model_id", self.model_id), ("library_version", __version__)):
            if audit[key] != mine:
                raise InputError(f"The audit record has {key} {audit[key]!r}, but this is {mine!r}.")
        if not isinstance(record, Mapping):
            raise InputError(f"A record maps names to values; this is a {type(record).__name__}.")
        prediction = self.predict(record, level=audit["level"], on_invalid=audit["on_invalid"])
        if prediction.audit["input_sha256"] != audit["input_sha256"]:
            raise InputError("The record is not the one that was predicted: its digest differs.")
        return prediction

    def recommend(
        self,
        X: Any,
        *,
        preferences: Mapping[str, float] | None = None,
        allowed: "pd.DataFrame | None" = None,
        excluded: Mapping[Any, str] | None = None,
        rule: str = "expected",
        margin: float = 0.0,
        level: float = 0.95,
        on_invalid: str = "raise",
    ) -> Recommendations:
        """Recommend an arm for each patient; see `treatsel.recommend` for the rules.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value.
        preferences : mapping of outcome to weight, optional
            Weight of each outcome in the utility; None: only the first outcome counts. The default arm,
            which breaks ties and is the fallback of rule "supported", always refers to the first outcome.
        allowed, excluded, rule, margin, level
            As in `treatsel.recommend`.
        on_invalid : {"raise", "flag"}
            As in `predict`; with "flag", a patient with an invalid value is ``out_of_scope``.

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
        weights = check_preferences(preferences, self.outcomes, self.event_is_good)
        options: dict[str, Any] = {"excluded": excluded, "rule": rule, "margin": margin, "level": level}
        options["on_invalid"] = on_invalid
        if allowed is None and self._is_record(X):
            return _records.recommend(self, X, weights, **options)
        return _tables.recommend(self, X, weights, allowed=allowed, **options)

    def explain(
        self,
        X: Any,
        *,
        arm: Any = None,
        contrast: tuple[Any, Any] | None = None,
        outcome: str | None = None,
        scale: str = "logit",
        background: "pd.DataFrame | None" = None,
        on_invalid: str = "raise",
    ) -> Explanation:
        """Explain predictions by SHAP values; see `treatsel.explain` for their meaning.

        The first call for an outcome prepares the background, which takes seconds if there are thousands of
        trees: a service should explain one record at start-up.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value.
        arm, contrast
            The arm to be explained; or two arms, whose difference (first minus second) is explained. Give
            exactly one of the two.
        outcome : str, optional
            Name of the outcome; None: the first.
        scale : {"logit", "probability"}
            Unit of the attributions.
        background : DataFrame, optional
            Rows of covariates that represent the population; default: the model's own summary.
        on_invalid : {"raise", "flag"}
            As in `predict`; with "flag", the values that `predict` would use are explained.

        Returns
        -------
        Explanation

        Raises
        ------
        InputError, CohortError
            As in `predict`; also if an option is invalid, the model has no background, or (for a model that
            is not a sum of terms) as in `treatsel.explain`.
        AdditivityError
            If the attributions do not add up to the model's prediction.
        """
        name, positions = self.outcome_named(outcome), positions_of(arm, contrast, scale, self.arms)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        model = self.models[name]
        if model is None:
            options = {"arm": arm, "contrast": contrast, "scale": scale, "on_invalid": on_invalid}
            return _tables.explain(self, X, name, background=background, **options)
        is_record = self._is_record(X)
        way = _records if is_record else _tables
        patients, matrix, inputs = way.inputs(self, X, name, on_invalid)
        if background is None:
            reference = self.references[name]
        else:
            reference = model.encoding.encode(_tables.background_of(background))
        found, base, prediction = Explainer.of(model, reference).explain(
            matrix, positions, scale, compiled=self.compiled and is_record
        )
        return Explanation(
            patients=patients,
            covariates=tuple(model.encoding.names),
            attributions=found,
            base_value=base,
            predictions=prediction,
            inputs=inputs,
            **arms_at(positions, self.arms),
            outcome=name,
            scale=scale,
            model_id=self.model_id,
        )

    def _is_record(self, X: Any) -> bool:
        return isinstance(X, Mapping) and self.reads_records
