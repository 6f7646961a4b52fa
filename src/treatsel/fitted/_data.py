"""Contents of a fitted model, and look-ups that records and tables have in common."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np

from treatsel._checks import FloatArray, check_choice
from treatsel._disclosure import suppressed
from treatsel._lazy import lazy
from treatsel._reporting.format import percent
from treatsel._reporting.summary import Summarized, Summary, count_text, some_of
from treatsel._version import __version__
from treatsel.additive import AdditiveModel, AssignmentModel, Numbers, check_compiled, rows_of_draws
from treatsel.codebook import Codebook, RecordReader
from treatsel.errors import InputError
from treatsel.fitted._development import Development
from treatsel.fitted._distance import DevelopmentDistance
from treatsel.fitted._score import Scorer
from treatsel.fitted._state import frozen, thawed
from treatsel.manifest import is_expired


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What an explanation needs: patients, encoded covariates, values by covariate, warnings and digest.

    `matrix` has no columns for a model that is not a sum of terms. `sites`: numbers of the patients' sites;
    None without site effects.
    """

    patients: Any
    matrix: FloatArray
    values: Mapping[str, Any]
    flags: Mapping[str, Any]
    sha256: str
    sites: Numbers | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ModelData(Summarized):
    """A fitted model of each outcome, with everything that predictions need.

    Attributes
    ----------
    models : mapping of str to AdditiveModel or None
        Outcome to its model in additive form (a sum of terms); None for a model without one.
    codebook : Codebook
        Allowed content of a record or a table.
    event_is_good : mapping of str to bool or None
        Whether 1 is good, by outcome; None: not specified.
    arms : tuple
        Arms, in the order of all arrays.
    default_arm : label
        The best single arm of the development cohort.
    assignment : str or None
        "randomised", "routine", or None: not stated.
    assignment_model : AssignmentModel
        Probability of each arm given the covariates.
    development : Development
        Summaries of the development cohort.
    estimators : mapping of str to fitted model
        Outcome to the fitted estimator, which is used for predictions if `models` has None; empty for a
        model from a file.
    intended_use : mapping or None
        Part of the audit record of every prediction.
    model_id : str or None
        Hash of the model file's content; None for a model that is not from a file.
    updates : tuple of mapping
        Records of the updates since the model was developed, the last one last, as in the model file.
    compiled : bool
        Whether records are scored by kernels compiled with numba instead of NumPy. Probabilities are
        identical to the last bit; intervals and attributions agree to 1e-12.
    """

    models: Mapping[str, AdditiveModel | None]
    codebook: Codebook
    event_is_good: Mapping[str, bool | None]
    arms: tuple[Any, ...]
    default_arm: Any
    assignment: str | None
    assignment_model: AssignmentModel
    development: Development
    estimators: Mapping[str, Any] = field(default_factory=dict)
    intended_use: Mapping[str, Any] | None = None
    model_id: str | None = None
    updates: tuple[Mapping[str, Any], ...] = ()
    compiled: bool = False

    def __post_init__(self) -> None:
        """Make every mapping and array read-only."""
        check_compiled(self.compiled)
        self.__setstate__({each.name: getattr(self, each.name) for each in fields(self)})

    def __getstate__(self) -> dict[str, Any]:
        """Exclude cached values from copies and pickles."""
        return thawed({each.name: getattr(self, each.name) for each in fields(self)})

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Keep read-only copies of mappings and arrays."""
        self.__dict__.update(frozen(state))

    def __repr__(self) -> str:
        """Return a summary: model id, outcomes and arms."""
        name = "not saved" if self.model_id is None else self.model_id[:12]
        return f"{type(self).__name__}({name}: outcomes {list(self.outcomes)}, arms {list(self.arms)})"

    def _summary(self) -> Summary:
        good = {True: "1 is good", False: "1 is not good", None: "direction not stated"}
        names = [f"{self.codebook.label(k)} ({good[self.event_is_good[k]]})" for k in self.outcomes]
        use = (self.intended_use or {}).get("purpose")
        facts = [
            ("outcomes", ", ".join(names)),
            ("covariates", some_of([self.codebook.label(name) for name in self.codebook.covariates])),
            ("best single arm", str(self.default_arm)),
            ("assignment of arms", self.assignment or "not stated"),
            (
                "findings of data checks",
                some_of([each.code for each in self.development.data_checks]) or "none",
            ),
            ("intended use", str(use or "not stated")),
        ]
        main = self.outcomes[0]
        what = (
            self.codebook.label(main)
            if self.event_is_good[main] is not False
            else f"no {self.codebook.label(main)}"
        )
        return Summary(
            title=type(self).__name__,
            headline="not saved to a file" if self.model_id is None else f"model {self.model_id[:12]}",
            facts=facts,
            columns=("Arm", "Patients", f"Expected rate of {what}", "95% interval"),
            rows=self._arm_rows(),
            note="Rates: if all patients of the development cohort received the arm (doubly robust).",
        )

    def _arm_rows(self) -> list[tuple[str, ...]]:
        """Return number of patients and expected rate of each arm in the development cohort."""
        training, means = self.development.training, self.development.arm_means
        rows = zip(training["outcome"], training["arm"], training["n"], strict=True)
        counts = {arm: n for name, arm, n in rows if name == self.outcomes[0]}
        shown = suppressed([counts.get(arm, np.nan) for arm in self.arms])
        return [
            (
                str(arm),
                count_text(shown[k]),
                percent(means["value"][k]),
                f"{percent(means['lower'][k])} to {percent(means['upper'][k])}",
            )
            for k, arm in enumerate(self.arms)
        ]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes, the main one first."""
        return tuple(self.models)

    @property
    def reads_records(self) -> bool:
        """Whether records are scored without tables, that is, every model is a sum of terms."""
        return all(model is not None for model in self.models.values())

    def is_record(self, X: Any) -> bool:
        """Whether X is the record of one patient that is read without pandas."""
        return isinstance(X, Mapping) and self.reads_records

    def outcome_named(self, outcome: str | None) -> str:
        """Return the name of an outcome (None: the first), checked."""
        return self.outcomes[0] if outcome is None else check_choice("outcome", outcome, self.outcomes)

    def has_posterior_draws(self, outcome: str | None = None) -> bool:
        """Whether the model of an outcome (None: the first) has posterior draws, and thus intervals."""
        model = self.models[self.outcome_named(outcome)]
        return model is not None and model.coefficient_draws is not None

    def without_interval(self, outcomes: Collection[str]) -> list[str]:
        """Return those of the given outcomes whose model has no posterior draws, and thus no interval."""
        return [name for name in outcomes if not self.has_posterior_draws(name)]

    @lazy
    def draw_rows(self) -> Mapping[str, np.ndarray | None]:
        """By outcome with draws, their rows in the order in which they are joint; None: as they are."""
        models, sizes = {}, {}
        for name, model in self.models.items():
            if model is not None and model.coefficient_draws is not None:
                models[name], sizes[name] = model, len(model.coefficient_draws)
        rows = rows_of_draws(models) if models else {}
        return {
            name: None if np.array_equal(each, np.arange(sizes[name])) else each
            for name, each in rows.items()
        }

    def evidence(self, outcomes: Collection[str]) -> dict[Any, bool]:
        """Return, by arm, whether it has sufficient events of all the given outcomes to be compared."""
        return {arm: all(self._evidence[name].get(arm, True) for name in outcomes) for arm in self.arms}

    def audit(
        self,
        kind: str,
        input_sha256: str,
        on_invalid: str,
        date: datetime.date | None,
        service: str,
        **options: Any,
    ) -> dict[str, Any]:
        """Return the audit record of predictions, recommendations or an explanation, with their options."""
        return {
            "kind": kind,
            "model_id": self.model_id,
            "library_version": __version__,
            "input_sha256": input_sha256,
            "intended_use": None if self.intended_use is None else dict(self.intended_use),
            "assignment": self.assignment,
            "on_invalid": on_invalid,
            "date": None if date is None else date.isoformat(),
            "service": service,
            **options,
        }

    def is_expired(self, date: datetime.date | None) -> bool:
        """Whether the review date in the intended use had passed on a date (None: no date was given)."""
        return is_expired(self.intended_use, date)

    @lazy
    def reader(self) -> RecordReader:
        """Reader of records according to the codebook."""
        return RecordReader(
            codebook=self.codebook,
            ranges=self.development.ranges,
            known_levels=self.known_levels,
            others=() if self.site_column is None else (self.site_column,),
        )

    @lazy
    def safety_items(self) -> tuple[str, ...]:
        """Columns of the codebook that are shown first and that no model sees."""
        return self.codebook.names("safety_item")

    @lazy
    def covariate_names(self) -> tuple[str, ...]:
        """Covariates of the codebook, in its order."""
        return self.codebook.covariates

    @lazy
    def development_distance(self) -> DevelopmentDistance:
        """Distance of patients to the development cohort, by its moments."""
        encoding = self.assignment_model.encoding
        columns = [
            column
            for column in ([] if encoding.native_missing else encoding.columns)
            if column.levels is None and not column.ignored and self.codebook[column.name].type != "boolean"
        ]
        return DevelopmentDistance.of(
            [column.name for column in columns],
            np.array([column.center for column in columns]),
            np.array([column.scale for column in columns]),
            self.development.background,
        )

    @lazy
    def known_levels(self) -> Mapping[str, frozenset[str]]:
        """Categories of each covariate that every model knows: those of at least 5 development patients."""
        encodings = [model.encoding for model in self.models.values() if model is not None]
        known: dict[str, frozenset[str]] = {}
        for encoding in [*encodings, self.assignment_model.encoding]:
            for column in encoding.columns:
                if column.levels is not None:
                    levels = frozenset(column.levels)
                    known[column.name] = known.get(column.name, levels) & levels
        return MappingProxyType(known)

    @lazy
    def known_sites(self) -> frozenset[str]:
        """Sites whose effects every model knows."""
        known = [
            frozenset(()) if model is None or model.sites is None else frozenset(model.sites.labels)
            for model in self.models.values()
        ]
        return frozenset.intersection(*known)

    @lazy
    def site_column(self) -> str | None:
        """Column of the site; None if no model has site effects."""
        found = (model.sites for model in self.models.values() if model is not None)
        return next((each.column for each in found if each is not None), None)

    @lazy
    def scorers(self) -> Mapping[str, Scorer]:
        """Scorer of records for each outcome with a model in additive form."""
        models = {name: model for name, model in self.models.items() if model is not None}
        return MappingProxyType({name: Scorer(model, self.compiled) for name, model in models.items()})

    @lazy
    def references(self) -> Mapping[str, FloatArray]:
        """Encoded background for each outcome, shape (n_rows, n_features)."""
        columns = {name: values.tolist() for name, values in self.development.background.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if not rows:
            raise InputError("This model has no background. Pass background=, rows of covariates.")
        models = {name: model for name, model in self.models.items() if model is not None}
        return MappingProxyType(
            {
                name: np.vstack([model.encoding.encode_one(row) for row in rows])
                for name, model in models.items()
            }
        )

    @lazy
    def _evidence(self) -> Mapping[str, Mapping[Any, bool]]:
        return MappingProxyType({name: self.development.has_evidence(name) for name in self.outcomes})
