"""Parsing of one patient's record according to the codebook, without pandas."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from treatsel._checks import listed, look_alikes, shortened
from treatsel._lazy import lazy
from treatsel.codebook._codebook import Codebook
from treatsel.codebook._field import Field
from treatsel.codebook._safety import SAFETY_CODES, SafetyItem, safety_items
from treatsel.codebook._values import (
    LARGEST,
    MOST_KEYS,
    OPAQUE,
    as_builtin,
    number_of,
    plain_record,
    too_large,
)
from treatsel.errors import CohortError, Fault, InputError

_ABSENT = object()
MOST_UNKNOWN = 5  # unknown keys that are named: each is a row of every result
MOST_ID = 256  # characters of an id, which every row of a result repeats
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
    others : collection of str
        Further keys that are no reason for a warning.
    """

    codebook: Codebook
    ranges: Mapping[str, tuple[float, float]]
    known_levels: Mapping[str, Collection[str]] = field(default_factory=dict)
    others: Collection[str] = ()

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
    def _safety_items(self) -> tuple[SafetyItem, ...]:
        return safety_items(self.codebook)

    @lazy
    def _wanted(self) -> frozenset[str]:
        return frozenset([*self.codebook.covariates, *self.codebook.names("safety_item")])

    @lazy
    def _known(self) -> frozenset[str]:
        return frozenset([*self.codebook.names(), *self.others])

    def patient(self, record: Mapping[str, Any]) -> Any:
        """Return the id in the record; 0 if the codebook or the record has none.

        Raises
        ------
        InputError
            If the id is too long, or neither a text nor a number.
        """
        name = self.codebook.name("id")
        if name is None:
            return 0
        record = _plain(record)
        patient = as_builtin(record.get(_key(tuple(record), name), 0))
        if patient is OPAQUE or _length(patient) > MOST_ID:
            raise InputError(
                f"The id in {name!r} has more than {MOST_ID} characters, or is not text or a number. Give a "
                "shorter id."
            )
        return patient

    def site(self, record: Mapping[str, Any], column: str) -> Any:
        """Return the site in the record: a text or a number; None if it has none, or something else."""
        record = _plain(record)
        site = as_builtin(record.get(_key(tuple(record), column)))
        return None if site is OPAQUE or _length(site) > MOST_ID else site

    def read(self, record: Mapping[str, Any], on_invalid: str) -> tuple[dict[str, Any], Flags]:
        """Return clean values by covariate (float or string; NaN or None: missing) and (code, column) pairs.

        The pairs of safety items come first; their values are not returned.

        Raises
        ------
        InputError
            If a key is not a string.
        CohortError
            If a covariate is missing from the record or, with on_invalid="raise", a value violates the
            codebook.
        """
        record, flags = self._named(_plain(record))
        values: dict[str, Any] = {}
        faults = self._flag_safety_items(record, flags, on_invalid) if self._safety_items else []
        for column, read, (low, high), (least, most) in self._steps:
            name = column.name
            raw = record.get(name, _ABSENT)
            if type(raw) is float and least <= raw <= most:  # the usual case: no warning is possible
                values[name] = raw
                continue
            if raw is _ABSENT:
                needed = listed(self.codebook.covariates)
                remedy = f"The model needs {needed}; give None where a value is not known."
                faults.append(Fault(column=name, problem="is missing", remedy=remedy))
                continue
            raw = as_builtin(raw)
            value, codes = read(raw)
            if type(raw) is str and self._is_other(raw, value, codes):
                flags.append(("normalized_text", name))
            if codes or (name in self.ranges and abs(value) > LARGEST):
                value, found = self._broken(column, value, codes, flags, self.patient(record))
                faults += found if on_invalid == "raise" else []
            elif value != value:
                flags.append(("missing_covariate", name))
            if value is not None and value == value and name in self.ranges and not low <= value <= high:
                flags.append(("outside_training_range", name))
            is_label = column.type == "string" or column.is_coded
            values[name] = value if isinstance(value, str) or not is_label else None
            if isinstance(value, str) and value not in self.known_levels.get(name, (value,)):
                flags += [("unseen_category", name)] if "unseen_category" not in codes else []
        if faults:
            raise CohortError("The patients cannot be predicted:", faults)
        if len(record) > len(values):
            unknown = [key for key in record if key not in self._known]
            flags += [("unknown_key", shortened(key)) for key in unknown[:MOST_UNKNOWN]]
            if (more := len(unknown) - MOST_UNKNOWN) > 0:
                flags.append(("unknown_key", f"... and {more:,} more"))
        return values, flags

    def _named(self, record: Mapping[str, Any]) -> tuple[Mapping[str, Any], Flags]:
        """Return the record with the codebook's names where a name differs only in its normal form."""
        if self._wanted <= record.keys():
            return record, []
        found = look_alikes(record, self._wanted)
        renamed = {found.get(key, key): value for key, value in record.items()}
        return renamed, [("normalized_text", name) for name in found.values()]

    def _flag_safety_items(self, record: Mapping[str, Any], flags: Flags, on_invalid: str) -> list[Fault]:
        """Add the warnings of safety items before all others; return the faults in them, if they count."""
        found: Flags = []
        faults: list[Fault] = []
        for item in self._safety_items:
            codes, broken = item.of_record(record, self.patient(record))
            found += [(code, item.field.name) for code in codes]
            faults += broken if on_invalid == "raise" else []
        flags[:0] = sorted(found, key=_urgency)
        return faults

    def _is_other(self, raw: str, value: Any, codes: tuple[str, ...]) -> bool:
        """Whether a text was read as another one, or as missing, because of its normal form."""
        if isinstance(value, str):
            return raw != value
        absent = value != value and "wrong_type" not in codes
        return absent and raw not in self.codebook.missing_values

    def _broken(
        self, field: Field, value: Any, codes: tuple[str, ...], flags: Flags, patient: Any
    ) -> tuple[Any, list[Fault]]:
        """Flag the violations of a value; return the value to compute with, and the violations as faults."""
        faults = [field.fault(code, 1, (patient,)) for code in codes]
        if field.name in self.ranges and abs(value) > LARGEST:
            if np.isfinite(value):
                faults.append(too_large(field.name, 1, (patient,)))
            codes = codes if "infinite" in codes else (*codes, "infinite")
            value = np.nan
        flags += [(code, field.name) for code in codes]
        if value != value and not {"wrong_type", "infinite"} & set(codes):
            flags.append(("missing_covariate", field.name))
        return value, faults


def _plain(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record that runs no code of an unknown class when it is looked up; values may still be any."""
    if type(record) is dict and len(record) <= MOST_KEYS and all(type(key) is str for key in record):
        return record
    return plain_record(record)


@lru_cache(maxsize=16)  # the records of a service have the same keys
def _key(names: tuple[str, ...], wanted: str) -> str:
    """Return the name that is meant by `wanted`: itself, or one that differs only in its normal form."""
    return wanted if wanted in names else next(iter(look_alikes(names, [wanted])), wanted)


def _urgency(flag: tuple[str, Any]) -> int:
    return SAFETY_CODES.index(flag[0])


def _length(patient: Any) -> int:
    """Return the number of characters of an id of a known class."""
    try:
        return len(patient if type(patient) is str else str(patient))
    except ValueError:  # an integer with more digits than Python converts to decimal
        return MOST_ID + 1
