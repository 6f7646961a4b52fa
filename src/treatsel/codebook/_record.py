"""Parsing of one patient's record according to the codebook, without pandas."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from treatsel._checks import count_of
from treatsel._lazy import lazy
from treatsel.codebook._codebook import Codebook
from treatsel.codebook._field import Field
from treatsel.codebook._values import LARGEST, number_of, too_large
from treatsel.errors import CohortError, Fault, InputError

_ABSENT = object()
Flags = list[tuple[str, Any]]
Read = Callable[[Any], tuple[Any, tuple[str, ...]]]
Bounds = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordReader:
    """Parser of records: returns clean covariate values and warnings, or raises an error with all faults.

    Attributes
    ----------
    codebook : Codebook
        Covariates and their allowed values.
    ranges : mapping of str to (float, float)
        Expected range of each numeric covariate, from the development cohort.
    known_levels : mapping of str to collection of str
        Categories that the model knows; others that the codebook allows are flagged.
    """

    codebook: Codebook
    ranges: Mapping[str, tuple[float, float]]
    known_levels: Mapping[str, Collection[str]] = field(default_factory=dict)

    @lazy
    def _steps(self) -> list[tuple[Field, Read, Bounds, Bounds]]:
        """By covariate: field, reader, expected range, and the range in which a float needs no checks."""
        numeric_texts = any(number_of(text) == number_of(text) for text in self.codebook.missing_values)
        steps = []
        for name in self.codebook.covariates:
            field = self.codebook[name]
            low, high = bounds = self.ranges.get(name, (-np.inf, np.inf))
            usual = (np.inf, -np.inf)
            if field.type == "number" and field.enum is None and not numeric_texts:
                least = -LARGEST if field.minimum is None else field.minimum
                most = LARGEST if field.maximum is None else field.maximum
                usual = (max(low, least, -LARGEST), min(high, most, LARGEST))
            steps.append((field, field.reader(self.codebook.missing_values), bounds, usual))
        return steps

    @lazy
    def _known(self) -> frozenset[str]:
        return frozenset(self.codebook.names())

    def patient(self, record: Mapping[str, Any]) -> Any:
        """Return the id in the record; 0 if the codebook or the record has none."""
        name = self.codebook.name("id")
        return 0 if name is None else record.get(name, 0)

    def read(self, record: Mapping[str, Any], on_invalid: str) -> tuple[dict[str, Any], Flags]:
        """Return clean values by covariate (float or string; NaN or None: missing) and (code, column) pairs.

        Raises
        ------
        InputError
            If a key is not a string.
        CohortError
            If a covariate is missing from the record or, with on_invalid="raise", a value violates the
            codebook.
        """
        values: dict[str, Any] = {}
        flags: Flags = []
        faults: list[Fault] = []
        for column, read, (low, high), (least, most) in self._steps:
            name = column.name
            raw = record.get(name, _ABSENT)
            if type(raw) is float and least <= raw <= most:  # the usual case: no warning is possible
                values[name] = raw
                continue
            if raw is _ABSENT:
                remedy = (
                    f"The model needs {list(self.codebook.covariates)}; give None where a value is not known."
                )
                faults.append(Fault(column=name, problem="is missing", remedy=remedy))
                continue
            value, codes = read(raw)
            if codes or (name in self.ranges and abs(value) > LARGEST):
                value, found = self._broken(column, value, codes, flags)
                faults += found if on_invalid == "raise" else []
            elif value != value:
                flags.append(("missing_covariate", name))
            if value is not None and value == value and name in self.ranges and not low <= value <= high:
                flags.append(("outside_training_range", name))
            is_label = column.type == "string" or column.is_coded
            values[name] = value if isinstance(value, str) or not is_label else None
            if isinstance(value, str) and value not in self.known_levels.get(name, (value,)):
                flags += [("unseen_category", name)] if "unseen_category" not in codes else []
        if n := sum(not isinstance(key, str) for key in record):
            raise InputError(
                f"The record has {count_of(n, 'key')} of a type other than text. Covariates are found "
                "by name."
            )
        if faults:
            raise CohortError("The patients cannot be predicted:", faults)
        if len(record) > len(values):
            flags += [("unknown_key", key) for key in record if key not in self._known]
        return values, flags

    def _broken(
        self, field: Field, value: Any, codes: tuple[str, ...], flags: Flags
    ) -> tuple[Any, list[Fault]]:
        """Flag the violations of a value; return the value to compute with, and the violations as faults."""
        faults = [field.fault(code, 1) for code in codes]
        if field.name in self.ranges and abs(value) > LARGEST:
            if np.isfinite(value):
                faults.append(too_large(field.name, 1))
            codes = codes if "infinite" in codes else (*codes, "infinite")
            value = np.nan
        flags += [(code, field.name) for code in codes]
        if value != value and not {"wrong_type", "infinite"} & set(codes):
            flags.append(("missing_covariate", field.name))
        return value, faults
