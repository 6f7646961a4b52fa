"""Predictions of a model: probabilities with intervals, warnings, and an audit record."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, check_choice, check_patient
from treatsel._lazy import lazy

if TYPE_CHECKING:
    import pandas as pd

# All codes of `Predictions.warnings` and their meaning.
WARNING_CODES = {
    "wrong_type": "the value is not of the column's type and was treated as missing",
    "infinite": "the value is infinite, or too large to compute with, and was treated as missing",
    "out_of_range": "the value is outside the range in the codebook and was used unchanged",
    "not_integer": "the value is not a whole number and was used unchanged",
    "unseen_category": "the category is unknown to the model and was treated as none of the known ones",
    "missing_required": "the value is missing although the codebook requires it",
    "missing_covariate": "the value is missing",
    "outside_training_range": "the value is well outside the range in the development cohort",
    "no_interval": "this type of model has no interval",
    "unknown_key": "the key of the record is unknown to the model and was ignored",
    "low_propensity": "similar patients rarely received this arm; its prediction is extrapolated",
}
IN_SCOPE_CODES = frozenset({"missing_covariate", "no_interval", "low_propensity", "unknown_key"})
OUT_OF_SCOPE_CODES = frozenset(WARNING_CODES) - IN_SCOPE_CODES


@dataclass(frozen=True, kw_only=True, repr=False)
class Predictions:
    """Probabilities of each outcome under each arm, with intervals.

    Attributes
    ----------
    tables : mapping of str to DataFrame of shape (n_patients, n_arms)
        Outcome to by-arm table of probabilities, 0 to 1.
    lower, upper : mapping of str to DataFrame of shape (n_patients, n_arms)
        Bounds of the interval of each probability; NaN where the model gives none.
    level : float
        Confidence level of the interval.
    warnings : DataFrame
        Columns patient, code (see ``WARNING_CODES``) and column (with ``low_propensity``: the arm).
    audit : mapping
        Model id, library version, digest of the input, intended use; no time unless the caller adds it.
    """

    tables: Mapping[str, "pd.DataFrame"]
    lower: Mapping[str, "pd.DataFrame"]
    upper: Mapping[str, "pd.DataFrame"]
    level: float
    warnings: "pd.DataFrame"
    audit: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Say what is in it, without showing a patient."""
        n = len(self.tables[self.outcomes[0]])
        return f"Predictions({n} patients, arms {list(self.arms)}, outcomes {list(self.outcomes)})"

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes, the first one first."""
        return tuple(self.tables)

    @property
    def arms(self) -> tuple[Any, ...]:
        """Arms, in the order of the tables."""
        return tuple(self.tables[self.outcomes[0]].columns)

    def by_arm(self, outcome: str | None = None) -> "pd.DataFrame":
        """Return the by-arm table of an outcome (None: the first)."""
        return self.tables[self._outcome(outcome)].copy()

    def interval(self, outcome: str | None = None) -> tuple["pd.DataFrame", "pd.DataFrame"]:
        """Return the lower and the upper by-arm table of an outcome (None: the first)."""
        name = self._outcome(outcome)
        return self.lower[name].copy(), self.upper[name].copy()

    def _outcome(self, outcome: str | None) -> str:
        return self.outcomes[0] if outcome is None else check_choice("outcome", outcome, self.outcomes)

    @property
    def out_of_scope(self) -> "pd.Series":
        """Per patient, whether a warning says that the model was not made for such values."""
        import pandas as pd

        patients = self.tables[self.outcomes[0]].index
        flagged = self.warnings.loc[self.warnings["code"].isin(OUT_OF_SCOPE_CODES), "patient"]
        return pd.Series(patients.isin(flagged), index=patients, name="out_of_scope")

    def to_frame(self) -> "pd.DataFrame":
        """Return a long table: patient, outcome, arm, probability, lower, upper."""
        import pandas as pd

        parts = []
        for outcome, table in self.tables.items():
            cells = [t.to_numpy().ravel() for t in (table, self.lower[outcome], self.upper[outcome])]
            n, k = table.shape
            parts.append(
                pd.DataFrame(
                    {
                        "patient": np.repeat(table.index.to_numpy(), k),
                        "outcome": outcome,
                        "arm": np.tile(table.columns.to_numpy(), n),
                        **dict(zip(("probability", "lower", "upper"), cells, strict=True)),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a bound that does not exist is None, never NaN."""
        rows = self.to_frame().to_dict(orient="records")
        return {
            "level": self.level,
            "predictions": [{str(key): plain(value) for key, value in row.items()} for row in rows],
            "warnings": [
                {str(key): plain(value) for key, value in row.items()}
                for row in self.warnings.to_dict(orient="records")
            ],
            "audit": dict(self.audit),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def plot(self, ax: Any = None, *, outcome: str | None = None, patient: Any = None) -> Any:
        """Draw one patient's probabilities by arm with their intervals; return the Axes."""
        from treatsel._reporting import plots

        name = self._outcome(outcome)
        table = self.tables[name]
        patient = table.index[0] if patient is None else check_patient(patient, table.index)
        bounds = [t.loc[patient] for t in (table, self.lower[name], self.upper[name])]
        return plots.by_arm_intervals(*bounds, ax=ax, xlabel=f"Predicted probability of {name}")


class Prediction(Predictions):
    """Predictions for one patient: plain numbers, of which tables are made only when they are asked for.

    Attributes
    ----------
    patient : label
        The id in the record, or 0.
    probability, low, high : mapping of str to ndarray of shape (n_arms,)
        Outcome to the probability under each arm, and to the bounds of its interval (NaN: none).
    flags : tuple of (code, column)
        Warnings; column is None where a code is about no column.

    All of `Predictions` holds here, too.
    """

    patient: Any
    probability: Mapping[str, FloatArray]
    low: Mapping[str, FloatArray]
    high: Mapping[str, FloatArray]
    flags: tuple[tuple[str, Any], ...]

    def __init__(
        self,
        *,
        patient: Any,
        arms: tuple[Any, ...],
        probability: Mapping[str, FloatArray],
        low: Mapping[str, FloatArray],
        high: Mapping[str, FloatArray],
        level: float,
        flags: tuple[tuple[str, Any], ...],
        audit: Mapping[str, Any],
    ) -> None:
        self.__dict__.update(
            patient=patient, _arms=arms, probability=probability, low=low, high=high, level=level
        )
        self.__dict__.update(flags=flags, audit=audit)

    def __repr__(self) -> str:
        """Say what is in it, without showing the patient."""
        return f"Prediction(1 patient, arms {list(self.arms)}, outcomes {list(self.outcomes)})"

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes, the first one first."""
        return tuple(self.probability)

    @property
    def arms(self) -> tuple[Any, ...]:
        """Arms, in the order of the numbers."""
        arms: tuple[Any, ...] = self.__dict__["_arms"]
        return arms

    @property
    def in_scope(self) -> bool:
        """Whether no warning says that the model was not made for such values."""
        return not any(code in OUT_OF_SCOPE_CODES for code, _ in self.flags)

    @lazy
    def tables(self) -> Mapping[str, "pd.DataFrame"]:
        """Outcome to by-arm table."""
        return {name: self._table(row) for name, row in self.probability.items()}

    @lazy
    def lower(self) -> Mapping[str, "pd.DataFrame"]:
        """Outcome to table of lower bounds."""
        return {name: self._table(row) for name, row in self.low.items()}

    @lazy
    def upper(self) -> Mapping[str, "pd.DataFrame"]:
        """Outcome to table of upper bounds."""
        return {name: self._table(row) for name, row in self.high.items()}

    @lazy
    def warnings(self) -> "pd.DataFrame":
        """Columns patient, code and column."""
        import pandas as pd

        rows = [(self.patient, code, column) for code, column in self.flags]
        return pd.DataFrame(rows, columns=["patient", "code", "column"], dtype="object")

    def _table(self, row: FloatArray) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(row[None], index=pd.Index([self.patient]), columns=pd.Index(self.arms))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a bound that does not exist is None, never NaN."""
        patient = plain(self.patient)
        rows = []
        for name, values in self.probability.items():
            columns = (values.tolist(), self.low[name].tolist(), self.high[name].tolist())
            for arm, p, low, high in zip(self.arms, *columns, strict=True):
                numbers = {"probability": p, "lower": plain(low), "upper": plain(high)}
                rows.append({"patient": patient, "outcome": name, "arm": plain(arm), **numbers})
        warnings = [{"patient": patient, "code": code, "column": column} for code, column in self.flags]
        return {"level": self.level, "predictions": rows, "warnings": warnings, "audit": dict(self.audit)}


def plain(value: Any) -> Any:
    """Return a label or a number as JSON can hold it; None for a number that does not exist."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def digest(frame: "pd.DataFrame") -> str:
    """Return the SHA-256 of a table's names and values, the same for any column order."""
    import pandas as pd

    sha = hashlib.sha256()
    for name in sorted(frame.columns, key=str):
        column = frame[name]
        sha.update(json.dumps(str(name)).encode())
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
            sha.update(np.where(np.isnan(values), np.nan, values).tobytes())
        else:
            texts = [None if missing else str(v) for v, missing in zip(column, column.isna(), strict=True)]
            sha.update(json.dumps(texts).encode())
    return sha.hexdigest()


def digest_one(values: Mapping[str, float | str | None]) -> str:
    """Return what `digest` gives for the table of one patient: floats, and texts or None, by covariate."""
    parts = []
    for name, written in _names_of(tuple(values)):
        value = values[name]
        if isinstance(value, float):
            value_bytes = _PACK(value + 0.0 if value == value else np.nan)
        else:
            value_bytes = json.dumps([value]).encode()
        parts += [written, value_bytes]
    return hashlib.sha256(b"".join(parts)).hexdigest()


_PACK = struct.Struct("=d").pack


@lru_cache(maxsize=64)  # the covariates of some models
def _names_of(names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Return sorted names, and how each is written."""
    return [(name, json.dumps(name).encode()) for name in sorted(names)]


def fingerprint(frame: "pd.DataFrame") -> str:
    """Return the SHA-256 of a whole table whatever the order of its rows and columns.

    It says whether two tables are the same; no row can be told from it.
    """
    import pandas as pd

    rows = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False)
    return hashlib.sha256(np.sort(rows.to_numpy()).tobytes()).hexdigest()
