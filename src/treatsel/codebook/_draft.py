"""Drafts of codebooks: guess type and role of a table's columns, for a person to review."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from treatsel.codebook._convert import distinct_values, to_boolean, to_number
from treatsel.codebook._field import Field, guess_direction
from treatsel.codebook._values import as_text

# Column names that indicate a role; compared in lower case.
_ID_NAMES = {"id", "patient_id", "patient", "pid"}
_ARM_NAMES = {"arm", "treatment", "treatment_arm", "therapy"}
_SITE_NAMES = {"site", "service", "centre", "center", "clinic", "hospital", "country"}
# Measured after treatment began: hamd_6m, phq9_wk4, score_w2, phq_last, cesd_end
_AFTER_BASELINE = re.compile(
    r"(_(w|wk|week|m|month|d|day|visit|session)_?\d+|_\d+(m|wk|w|d)|_(last|end|post))$"
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_MAX_CATEGORIES = 30  # a text column with more values is probably free text or an identifier
_UNNAMED = "Unnamed: "  # pandas' name of a column without a name, such as an index written to CSV


def draft_fields(
    frame: pd.DataFrame,
    *,
    arm: str | None,
    outcomes: Sequence[str] | None,
    site: str | None,
    missing: Collection[str],
    ranges: bool,
) -> list[Field]:
    """Guess type, role and range of every column."""
    names = list(frame.columns)
    arm = arm or _first(names, _ARM_NAMES)
    site = site or _first([name for name in names if name != arm], _SITE_NAMES)
    id_name = _first([name for name in names if name not in (arm, site)], _ID_NAMES)
    fields = []
    for name in names:
        values = distinct_values(frame[name], missing)
        kind = _kind(values)
        role = {arm: "arm", site: "site", id_name: "id"}.get(name) or _role(name, kind, values, outcomes)
        fields.append(_field(name, kind, role, values, ranges))
    return fields


def _first(names: Sequence[str], known: Collection[str]) -> str | None:
    return next((name for name in names if name.lower() in known), None)


def _kind(values: pd.Series) -> str:
    if values.empty:
        return "string"
    if values.map(lambda value: isinstance(value, pd.Timestamp | np.datetime64)).all():
        return "datetime"
    numbers = to_number(values)
    if numbers.notna().all():
        if numbers.isin([0, 1]).all():
            return "boolean"
        whole = np.isfinite(numbers).all() and (numbers % 1 == 0).all()
        return "integer" if whole else "number"
    if to_boolean(values).notna().all():
        return "boolean"
    return "date" if values.map(lambda value: bool(_DATE.fullmatch(str(value)))).all() else "string"


def _role(name: str, kind: str, values: pd.Series, outcomes: Sequence[str] | None) -> str | None:
    lowered = name.lower()
    like_an_outcome = kind == "boolean" and guess_direction(name) is not None
    if (outcomes is None and like_an_outcome) or (outcomes is not None and name in outcomes):
        return "outcome"
    if kind in ("date", "datetime"):
        return "date"
    if like_an_outcome or _AFTER_BASELINE.search(lowered):
        return "session_score"
    if name.startswith(_UNNAMED) or (kind == "string" and len(_labels(values)) > _MAX_CATEGORIES):
        return None
    return "covariate"


def _field(name: str, kind: str, role: str | None, values: pd.Series, ranges: bool) -> Field:
    if role in ("id", "arm", "site"):
        return Field(
            name=name, type="string", role=role, enum=_labels(values) or None if role == "arm" else None
        )
    if role == "outcome":
        good = guess_direction(name)
        words = kind == "boolean" and to_number(values).isna().any()
        return Field(name=name, type="boolean" if words else "integer", role=role, event_is_good=good)
    if kind in ("number", "integer") and ranges:
        numbers = to_number(values)
        if np.isfinite(numbers).all():  # otherwise the range would be that of erroneous values
            low, high = _short(numbers.min()), _short(numbers.max())
            return Field(name=name, type=kind, role=role, minimum=low, maximum=high)
    if kind == "string" and role == "covariate":
        return Field(name=name, type=kind, role=role, enum=_labels(values) or None)
    if kind == "string" and role is None and not name.startswith(_UNNAMED):
        description = f"Draft: more than {_MAX_CATEGORIES} distinct text values, so not used."
        return Field(name=name, type=kind, role=None, description=description)
    return Field(name=name, type=kind, role=role)


def _labels(values: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(set(values.map(as_text))))


def _short(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)
