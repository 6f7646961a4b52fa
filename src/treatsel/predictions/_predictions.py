"""Probabilities of each outcome under each arm, with intervals, warnings and an audit record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, check_choice, check_patient, count_of
from treatsel._disclosure import SMALLEST_GROUP, is_disclosive
from treatsel._reporting.format import percent
from treatsel._reporting.summary import Summarized, Summary, some_of
from treatsel.codebook import SAFETY_CODES
from treatsel.predictions._applicability import applicability_of
from treatsel.predictions._flags import (
    FLAG_COLUMNS,
    safety_column,
    safety_flags,
    scope_columns,
    scope_dicts,
    scope_of,
    scope_reasons,
    table_of_flags,
    warnings_of,
)
from treatsel.predictions._plain import header, plain

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Predictions(Summarized):
    """Probabilities of each outcome under each arm, with intervals, for one or more patients.

    The fields are plain arrays, so that a service can predict a record without pandas; the methods return
    tables.

    Attributes
    ----------
    patients : sequence of shape (n_patients,)
        Patient ids: the index of a table; for a record the id in it, or 0.
    arms : tuple
        Arms, in the order of the columns.
    probability : mapping of str to ndarray of shape (n_patients, n_arms)
        Probabilities of each outcome, 0 to 1.
    lower, upper : mapping of str to ndarray of shape (n_patients, n_arms)
        Bounds of the interval of each probability; NaN where the model gives none.
    level : float
        Confidence level of the interval.
    flags : mapping of str to sequence
        Warnings as columns patient, code (see ``WARNING_CODES``) and column (with ``low_propensity``: the
        arm; None where a code does not concern a column).
    audit : mapping
        Model id, library version, digest of the input, options, intended use; no time unless the caller adds
        it, and the date only if the caller gave one.
    titles : mapping of str to str
        Titles of outcomes for readers, used in plots and summaries; tables and JSON hold the names.
    service : sequence of shape (n_patients,), or None
        The service that each patient's probabilities are for: "known" (the patient's own), "average" or
        "new". None: the model knows no services.
    safety_items : tuple of str
        Columns that the codebook declares as safety items. No probability rests on them; their warnings are
        the first of `flags`.
    """

    patients: Any
    arms: tuple[Any, ...]
    probability: Mapping[str, FloatArray]
    lower: Mapping[str, FloatArray]
    upper: Mapping[str, FloatArray]
    level: float
    flags: Mapping[str, Any]
    audit: Mapping[str, Any] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    service: Sequence[str] | None = None
    safety_items: tuple[str, ...] = ()

    @classmethod
    def from_tables(
        cls,
        tables: Mapping[str, "pd.DataFrame"],
        *,
        lower: Mapping[str, "pd.DataFrame"],
        upper: Mapping[str, "pd.DataFrame"],
        level: float,
        warnings: "pd.DataFrame",
        audit: Mapping[str, Any] | None = None,
    ) -> "Predictions":
        """Return predictions from by-arm tables with the same patients and arms, and a table of warnings."""
        first = next(iter(tables.values()))
        values = ({name: table.to_numpy() for name, table in part.items()} for part in (tables, lower, upper))
        probability, lower_bounds, upper_bounds = values
        return cls(
            patients=first.index,
            arms=tuple(first.columns),
            probability=probability,
            lower=lower_bounds,
            upper=upper_bounds,
            level=level,
            flags={name: warnings[name].to_numpy(dtype=object) for name in FLAG_COLUMNS},
            audit={} if audit is None else audit,
        )

    def __repr__(self) -> str:
        """Summarize the contents without showing a patient."""
        patients = count_of(len(self.patients), "patient")
        return f"Predictions({patients}, arms {list(self.arms)}, outcomes {list(self.outcomes)})"

    def _summary(self) -> Summary:
        n, out = len(self.patients), int(scope_of(self.patients, self.flags).sum())
        facts = [("arms", some_of(self.arms)), ("intervals", f"{100 * self.level:g}%")]
        facts.append(
            ("patients out of scope", "not shown (small counts)" if is_disclosive(out, n) else f"{out:,}")
        )
        if self.safety_items:
            flagged = len(set(safety_flags(self.flags, SAFETY_CODES[:1])["patient"]))
            shown = "not shown (small counts)" if is_disclosive(flagged, n) else f"{flagged:,}"
            facts.insert(0, ("patients with a flagged safety item", shown))
        if (model := self.audit.get("model_id")) is not None:
            facts.append(("model", str(model)[:12]))
        means = {name: values.mean(axis=0) for name, values in self.probability.items()}
        rows = [
            (str(arm), *(percent(float(mean[k])) for mean in means.values()))
            for k, arm in enumerate(self.arms)
        ]
        few = n < SMALLEST_GROUP
        return Summary(
            title="Predictions",
            headline=f"{count_of(n, 'patient')}: {some_of([self.titles.get(k, k) for k in self.outcomes])}",
            facts=facts,
            columns=("Arm", *(f"Mean probability of {self.titles.get(k, k)}" for k in self.outcomes)),
            rows=() if few else rows,
            note="to_frame() shows each patient; plot() draws one.",
        )

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes; the first is the default of the methods."""
        return tuple(self.probability)

    @property
    def tables(self) -> Mapping[str, "pd.DataFrame"]:
        """By-arm table of probabilities of each outcome."""
        return {name: self._table(values) for name, values in self.probability.items()}

    def by_arm(self, outcome: str | None = None) -> "pd.DataFrame":
        """Return the by-arm table of an outcome (None: the first)."""
        return self._table(self.probability[self._outcome(outcome)])

    def interval(self, outcome: str | None = None) -> tuple["pd.DataFrame", "pd.DataFrame"]:
        """Return the lower and the upper by-arm table of an outcome (None: the first)."""
        name = self._outcome(outcome)
        return self._table(self.lower[name]), self._table(self.upper[name])

    def _outcome(self, outcome: str | None) -> str:
        return self.outcomes[0] if outcome is None else check_choice("outcome", outcome, self.outcomes)

    def _table(self, values: FloatArray) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(values.copy(), index=pd.Index(self.patients), columns=pd.Index(self.arms))

    @property
    def warnings(self) -> "pd.DataFrame":
        """Warnings: columns patient, code and column."""
        return table_of_flags(self.flags)

    @property
    def safety(self) -> "pd.DataFrame":
        """Warnings about safety items alone: columns patient, code and column; to be read first."""
        return table_of_flags(safety_flags(self.flags))

    def applicability(self) -> list[tuple[Any, str]]:
        """Return pairs of patient and sentence: what limits the use of the model for this patient.

        Plain sentences for the warnings: outside a range, unknown category, far from the development cohort,
        an arm hardly ever given to such patients, too much missing. Patients without any are not listed.
        """
        return applicability_of(self.flags, self.titles)

    @property
    def in_scope(self) -> np.ndarray:
        """Per patient, whether no warning has a code of ``OUT_OF_SCOPE_CODES``."""
        return ~scope_of(self.patients, self.flags)

    @property
    def out_of_scope(self) -> "pd.Series":
        """Per patient, whether a warning has a code of ``OUT_OF_SCOPE_CODES``."""
        import pandas as pd

        return pd.Series(
            scope_of(self.patients, self.flags), index=pd.Index(self.patients), name="out_of_scope"
        )

    @property
    def reasons(self) -> list[list[tuple[str, Any]]]:
        """Per patient, the warnings that put it out of scope, as pairs of code and column."""
        return scope_reasons(self.patients, self.flags)

    def to_frame(self) -> "pd.DataFrame":
        """Return a long table: patient, outcome, arm, probability, lower, upper, the scope and the service.

        The scope: `in_scope`, and for a patient out of scope `reason` (codes) and `reason_column` (the column
        of each code), several joined by " | ". A probability out of scope is not to be used. The service is a
        column only if the model knows services; `safety` (the warnings about safety items, or "") only if the
        codebook declares some.
        """
        import pandas as pd

        scope = scope_columns(self.patients, self.flags)
        safety = {"safety": safety_column(self.patients, self.flags)} if self.safety_items else {}
        index, columns = pd.Index(self.patients).to_numpy(), pd.Index(self.arms).to_numpy()
        parts = [
            pd.DataFrame(
                {
                    "patient": np.repeat(index, len(columns)),
                    **{key: np.repeat(texts, len(columns)) for key, texts in safety.items()},
                    "outcome": name,
                    "arm": np.tile(columns, len(index)),
                    "probability": values.ravel(),
                    "lower": self.lower[name].ravel(),
                    "upper": self.upper[name].ravel(),
                    **{key: np.repeat(values, len(columns)) for key, values in scope.items()},
                    **({} if self.service is None else {"service": np.repeat(self.service, len(columns))}),
                }
            )
            for name, values in self.probability.items()
        ]
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a bound that is not available is None, never NaN.

        The keys are described in the reference page "The JSON of predictions".
        """
        patients, arms = [plain(label) for label in self.patients], [plain(arm) for arm in self.arms]
        rows, scopes = [], scope_dicts(self.patients, self.flags)
        services = [None] * len(patients) if self.service is None else self.service
        for name, probability in self.probability.items():
            cells = (
                scopes,
                services,
                probability.tolist(),
                self.lower[name].tolist(),
                self.upper[name].tolist(),
            )
            for patient, scope, service, *of_patient in zip(patients, *cells, strict=True):
                for arm, p, lower, upper in zip(arms, *of_patient, strict=True):
                    numbers = {"probability": plain(p), "lower": plain(lower), "upper": plain(upper)}
                    row = {"patient": patient, "outcome": name, "arm": arm, **numbers, **scope}
                    rows.append(row | {"service": service})
        return {
            **header("predictions"),
            "safety": warnings_of(safety_flags(self.flags)),
            "level": plain(float(self.level)),
            "predictions": rows,
            "warnings": warnings_of(self.flags),
            "audit": dict(self.audit),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def plot(self, ax: Any = None, *, outcome: str | None = None, patient: Any = None, **kwargs: Any) -> Any:
        """Draw one patient's probabilities by arm with their intervals, the highest on top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        outcome : str, optional
            Name of the outcome; None: the first.
        patient : label, optional
            Id of the patient; None: the first.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        from treatsel._reporting import plots

        name = self._outcome(outcome)
        table, bounds = self.by_arm(name), self.interval(name)
        patient = table.index[0] if patient is None else check_patient(patient, table.index)
        rows = [each.loc[patient] for each in (table, *bounds)]
        label, ends = (
            f"Predicted probability of {self.titles.get(name, name)}",
            plots.intervals_of(self.level),
        )
        return plots.by_arm_intervals(*rows, ax=ax, xlabel=label, interval=ends, **kwargs)
