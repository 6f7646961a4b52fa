"""Predictions for one patient at a time, in a service: without pandas, from many threads."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._lazy import lazy
from treatsel._version import __version__
from treatsel.additive import (
    LOW_PROPENSITY,
    AdditiveModel,
    AssignmentModel,
    Explainer,
    check_compiled,
    pairing,
    positions_of,
    warm_up,
)
from treatsel.codebook import LARGEST, Codebook, RecordReader
from treatsel.errors import InputError
from treatsel.predictions import OUT_OF_SCOPE_CODES, Prediction, digest_one
from treatsel.preference import check_preferences, utility
from treatsel.recommendation import Recommendation, recommend_one
from treatsel.serving._attributions import Attributions
from treatsel.serving._score import Score, Scorer
from treatsel.serving._state import frozen, thawed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LARGEST", "Attributions", "ServedModel"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ServedModel:
    """A fitted selector, ready to predict record after record; immutable, so that threads can share it.

    `treatsel.serve.load_model` reads one from a model file without importing pandas or scikit-learn; a
    `TreatmentSelector` uses one for a record (a dict). Both give the same numbers.

    Attributes
    ----------
    models : mapping of str to AdditiveModel
        Outcome to its model.
    codebook : Codebook
        What a record may hold.
    ranges : mapping of str to (float, float)
        What the development cohort held of each number.
    event_is_good : mapping of str to bool or None
        Direction of each outcome.
    default_arm : label
        The best single arm of the development cohort.
    evidence : mapping of str to mapping of arm to bool
        By outcome, whether an arm had enough patients to be called better or worse.
    assignment : str or None
        "randomised", "routine", or None: nobody said.
    assignment_model : AssignmentModel
        Who got which arm.
    intended_use : mapping or None
        Travels into every prediction.
    model_id : str or None
        Hash of the model file's content; None for a selector that was never saved.
    background : mapping of str to ndarray, or None
        By covariate, the group means that stand in for the development cohort in explanations.
    compiled : bool
        Whether numba's compiled kernels score, rather than NumPy: the same probabilities to the last bit,
        intervals and attributions to 1e-12.
    """

    models: Mapping[str, AdditiveModel]
    codebook: Codebook
    ranges: Mapping[str, tuple[float, float]]
    event_is_good: Mapping[str, bool | None]
    default_arm: Any
    evidence: Mapping[str, Mapping[Any, bool]]
    assignment: str | None
    assignment_model: AssignmentModel
    intended_use: Mapping[str, Any] | None = None
    model_id: str | None = None
    background: Mapping[str, np.ndarray] | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        """Compute all that is computed once, so that the first patient waits no longer than the next."""
        check_compiled(self.compiled)
        self.__setstate__({field.name: getattr(self, field.name) for field in fields(self)})
        if self.compiled and any(model.trees is not None for model in self.models.values()):
            warm_up()
        self.predict(dict.fromkeys(self.codebook.covariates), on_invalid="flag")

    def __getstate__(self) -> dict[str, Any]:
        """Leave what can be computed again out of copies and pickles."""
        return thawed({field.name: getattr(self, field.name) for field in fields(self)})

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Keep what nobody can change."""
        self.__dict__.update(frozen(state))

    def __repr__(self) -> str:
        """Say what it predicts."""
        name = "not saved" if self.model_id is None else self.model_id[:12]
        return f"ServedModel({name}: outcomes {list(self.outcomes)}, arms {list(self.arms)})"

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes, the main one first."""
        return tuple(self.models)

    @lazy
    def arms(self) -> tuple[Any, ...]:
        """Arms, in the order of all numbers."""
        return tuple(self.models[self.outcomes[0]].arms_.tolist())

    def predict_by_arm(self, record: Mapping[str, Any], outcome: str | None = None) -> dict[Any, float]:
        """Return the probability of an outcome (None: the first) under each arm.

        Parameters
        ----------
        record : mapping of str to value
            Covariates by name; None where a value is not known. Keys that are no covariates are ignored.
        outcome : str, optional
            Name of the outcome.

        Returns
        -------
        dict of arm to float
            Probabilities, 0 to 1.

        Raises
        ------
        InputError
            If the record is no mapping, a key is no text, or the outcome is unknown.
        CohortError
            If a covariate has no key, or a value breaks the codebook; all faults at once.
        """
        name = self.outcomes[0] if outcome is None else check_choice("outcome", outcome, self.outcomes)
        values, _ = self._read(record, "raise")
        return dict(zip(self.arms, self._scorers[name].score(values).probability.tolist(), strict=True))

    def predict_table(self, record: Mapping[str, Any], outcome: str) -> "pd.DataFrame":
        """Return `predict_by_arm` as a by-arm table of one row."""
        import pandas as pd

        row = self.predict_by_arm(record, outcome)
        return pd.DataFrame([list(row.values())], index=[self._reader.patient(record)], columns=pd.Index(row))

    def predict(
        self, record: Mapping[str, Any], *, level: float = 0.95, on_invalid: str = "raise"
    ) -> Prediction:
        """Return probabilities of all outcomes under all arms, with intervals, warnings and audit record.

        Parameters
        ----------
        record : mapping of str to value
            Covariates by name; None where a value is not known.
        level : float
            Confidence level of the intervals, from the posterior draws of each probability.
        on_invalid : {"raise", "flag"}
            Whether a value that breaks the codebook raises, or becomes a coded warning.

        Returns
        -------
        Prediction

        Raises
        ------
        InputError, CohortError
            As `predict_by_arm`; with on_invalid="flag" only for keys, not for values.
        """
        check_level(level)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        values, flags = self._read(record, on_invalid)
        scores = {name: scorer.score(values) for name, scorer in self._scorers.items()}
        bounds = {name: score.interval(level) for name, score in scores.items()}
        if not all(scorer.has_posterior_draws for scorer in self._scorers.values()):
            flags.append(("no_interval", None))
        if self.assignment != "randomised":
            flags += [("low_propensity", arm) for arm in self._rarely_given(values)]
        return Prediction(
            patient=self._reader.patient(record),
            arms=self.arms,
            probability={name: score.probability for name, score in scores.items()},
            low={name: low for name, (low, _) in bounds.items()},
            high={name: high for name, (_, high) in bounds.items()},
            level=level,
            flags=tuple(flags),
            audit=self._audit(values, level, on_invalid),
        )

    def replay(self, audit: Mapping[str, Any], record: Mapping[str, Any]) -> Prediction:
        """Return the prediction that an audit record is about, made again.

        Parameters
        ----------
        audit : mapping
            `Prediction.audit`, or what became of it in JSON.
        record : mapping of str to value
            The patient's record at that time.

        Returns
        -------
        Prediction

        Raises
        ------
        InputError
            If the audit record is of another model, another version of the library, or another record.
        """
        wanted = ("model_id", "library_version", "input_sha256", "level", "on_invalid")
        if not isinstance(audit, Mapping) or (lacking := [key for key in wanted if key not in audit]):
            found = f"it lacks {lacking}" if isinstance(audit, Mapping) else "it is no mapping"
            raise InputError(f"This is no audit record of a prediction: {found}.")
        if self.model_id is None:
            raise InputError("This model has no id by which to know it, as it was never saved. Save it.")
        for key, mine in (("model_id", self.model_id), ("library_version", __version__)):
            if audit[key] != mine:
                raise InputError(f"The audit record has {key} {audit[key]!r}, but this is {mine!r}.")
        prediction = self.predict(record, level=audit["level"], on_invalid=audit["on_invalid"])
        if prediction.audit["input_sha256"] != audit["input_sha256"]:
            raise InputError("The record is not the one that was predicted: its digest differs.")
        return prediction

    def recommend(
        self,
        record: Mapping[str, Any],
        *,
        preferences: Mapping[str, float] | None = None,
        excluded: Mapping[Any, str] | None = None,
        rule: str = "expected",
        margin: float = 0.0,
        level: float = 0.95,
        on_invalid: str = "raise",
    ) -> Recommendation:
        """Recommend an arm; see `treatsel.recommend` for the rules.

        Parameters
        ----------
        record : mapping of str to value
            Covariates by name; None where a value is not known.
        preferences : mapping of outcome to weight, optional
            What this patient cares about; None: only the first outcome.
        excluded, rule, margin, level
            As in `treatsel.recommend`.
        on_invalid : {"raise", "flag"}
            As in `predict`; a flagged patient is ``out_of_scope``.

        Returns
        -------
        Recommendation

        Raises
        ------
        InputError, CohortError
            As `predict`; also for options that cannot be used, and with fewer than two arms.
        """
        if len(self.arms) < 2:
            raise InputError(
                f"The model has one arm, {self.arms[0]!r}; one arm can be predicted, not ranked."
            )
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        weights = check_preferences(preferences, self.outcomes, self.event_is_good)
        values, flags = self._read(record, on_invalid)
        scores = {name: self._scorers[name].score(values) for name in weights}
        tables = {name: score.probability for name, score in scores.items()}
        found = recommend_one(
            utility(tables, weights, self.event_is_good),
            self.arms,
            patient=self._reader.patient(record),
            draws=self._utility_draws(scores, weights),
            default_arm=self.default_arm,
            excluded=excluded,
            evidence={arm: all(self.evidence[name].get(arm, True) for name in weights) for arm in self.arms},
            in_scope=not any(code in OUT_OF_SCOPE_CODES for code, _ in flags),
            rule=rule,
            margin=margin,
            level=level,
        )
        audit = self._audit(values, level, on_invalid)
        return Recommendation(**vars(found), flags=tuple(flags), audit=audit)

    def explain(
        self,
        record: Mapping[str, Any],
        *,
        arm: Any = None,
        contrast: tuple[Any, Any] | None = None,
        outcome: str | None = None,
        scale: str = "logit",
        on_invalid: str = "raise",
    ) -> Attributions:
        """Explain a prediction by exact SHAP values; see `treatsel.explain` for what they mean.

        The first call for an outcome prepares the background, which takes seconds where there are
        thousands of trees: explain one record at start-up.

        Parameters
        ----------
        record : mapping of str to value
            Covariates by name; None where a value is not known.
        arm, contrast
            The arm to be explained; or two, whose difference is: the first minus the second. One of both.
        outcome : str, optional
            Name of the outcome; None: the first.
        scale : {"logit", "probability"}
            Unit of the attributions.
        on_invalid : {"raise", "flag"}
            As in `predict`; with "flag" what `predict` would compute with is explained.

        Returns
        -------
        Attributions

        Raises
        ------
        InputError, CohortError
            As `predict`; also if an option cannot be used, or the model carries no background.
        AdditivityError
            If the attributions do not add up to the model's prediction.
        """
        positions = positions_of(arm, contrast, scale, self.arms)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        name = self.outcomes[0] if outcome is None else check_choice("outcome", outcome, self.outcomes)
        values, _ = self._read(record, on_invalid)
        encoding = self.models[name].encoding
        explainer = Explainer.of(self.models[name], self._references[name])
        found, base, prediction = explainer.explain(
            encoding.encode_one(values), positions, scale, compiled=self.compiled
        )
        return Attributions(
            patient=self._reader.patient(record),
            values=dict(zip(encoding.names, found[0].tolist(), strict=True)),
            base_value=base,
            prediction=float(prediction[0]),
            arm=arm,
            contrast=None if contrast is None else (contrast[0], contrast[1]),
            outcome=name,
            scale=scale,
            model_id=self.model_id,
        )

    def _read(self, record: Any, on_invalid: str) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
        if not isinstance(record, Mapping):
            raise InputError(f"A record maps names to values; this is a {type(record).__name__}.")
        return self._reader.read(record, on_invalid)

    def _audit(self, values: Mapping[str, Any], level: float, on_invalid: str) -> dict[str, Any]:
        return {
            "model_id": self.model_id,
            "library_version": __version__,
            "input_sha256": digest_one(values),
            "intended_use": None if self.intended_use is None else dict(self.intended_use),
            "assignment": self.assignment,
            "level": level,
            "on_invalid": on_invalid,
        }

    def _rarely_given(self, values: Mapping[str, Any]) -> list[Any]:
        matrix = self.assignment_model.encoding.encode_one(values)
        propensity = self.assignment_model.predict_proba(matrix)[0]
        return [
            arm for arm, p in zip(self.assignment_model.arms_, propensity, strict=True) if p < LOW_PROPENSITY
        ]

    def _utility_draws(self, scores: Mapping[str, Score], weights: Mapping[str, float]) -> FloatArray | None:
        if not all(score.scorer.has_posterior_draws for score in scores.values()):
            return None
        draws = {
            name: scores[name].draws[pairing(i, len(scores[name].draws))] for i, name in enumerate(weights)
        }
        return np.asarray(utility(draws, weights, self.event_is_good))

    @lazy
    def _reader(self) -> RecordReader:
        return RecordReader(codebook=self.codebook, ranges=self.ranges)

    @lazy
    def _scorers(self) -> Mapping[str, Scorer]:
        return MappingProxyType({name: Scorer(model, self.compiled) for name, model in self.models.items()})

    @lazy
    def _references(self) -> Mapping[str, FloatArray]:
        """The encoded background by outcome."""
        if self.background is None:
            raise InputError("This model carries no background, against which it could be explained.")
        columns = {name: values.tolist() for name, values in self.background.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return MappingProxyType(
            {
                name: np.vstack([model.encoding.encode_one(row) for row in rows])
                for name, model in self.models.items()
            }
        )
