"""First drafts: what a table's columns probably are. A person confirms them."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from treatsel.codebook._field import Field

# Column names that give their role away. Compared in lower case, whole or as the first word.
_ID_NAMES = {"id", "patient_id", "patient", "pid"}
_ARM_NAMES = {"arm", "treatment", "treatment_arm", "therapy"}
_SITE_NAMES = {"site", "service", "centre", "center", "clinic", "hospital", "country"}
_GOOD_OUTCOMES = {"remission", "response", "recovery", "recovered", "improved", "improvement"}
_BAD_OUTCOMES = {"dropout", "deterioration", "event", "relapse", "dead", "death"}
# Measured after treatment began: hamd_6m, phq9_wk4, score_w2, phq_last, cesd_end
_AFTER_BASELINE = re.compile(
    r"(_(w|wk|week|m|month|d|day|visit|session)_?\d+|_\d+(m|wk|w|d)|_(last|end|post))$"
)
_MOST_CATEGORIES = 30


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
    names = [str(name) for name in frame.columns]
    arm = arm or _first(names, _ARM_NAMES)
    site = site or _first(names, _SITE_NAMES - {arm})
    id_name = _first(names, _ID_NAMES)
    fields = []
    for name in names:
        column = frame[name].astype("object")
        column = column[column.notna() & ~column.isin(list(missing))]
        kind = _kind(column)
        role = {arm: "arm", site: "site", id_name: "id"}.get(name) or _role(name, kind, column, outcomes)
        fields.append(_field(name, kind, role, column, ranges))
    return fields


def _first(names: Sequence[str], known: Collection[str | None]) -> str | None:
    return next((name for name in names if name.lower() in known), None)


def _kind(column: pd.Series) -> str:
    if column.empty:
        return "string"
    if column.map(lambda value: isinstance(value, pd.Timestamp | np.datetime64)).all():
        return "datetime"
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all():
        values = numbers.astype("float64")
        if values.isin([0, 1]).all():
            return "boolean"
        return "integer" if (values % 1 == 0).all() else "number"
    texts = column.astype(str)
    if texts.str.fullmatch(r"(?i)true|false").all():
        return "boolean"
    return "date" if texts.str.fullmatch(r"\d{4}-\d{2}-\d{2}([T ].*)?").all() else "string"


def _role(name: str, kind: str, column: pd.Series, outcomes: Sequence[str] | None) -> str | None:
    lowered = name.lower()
    if outcomes is not None:
        if name in outcomes:
            return "outcome"
    elif kind == "boolean" and lowered.split("_")[0] in _GOOD_OUTCOMES | _BAD_OUTCOMES:
        return "outcome"
    if kind in ("date", "datetime"):
        return "date"
    if _AFTER_BASELINE.search(lowered):
        return "session_score"
    if kind == "string" and column.nunique() > _MOST_CATEGORIES:
        return None
    return "covariate"


def _field(name: str, kind: str, role: str | None, column: pd.Series, ranges: bool) -> Field:
    if role in ("id", "arm", "site"):
        return Field(name=name, type="string", role=role, enum=_labels(column) if role == "arm" else None)
    if role == "outcome":
        first = name.lower().split("_")[0]
        good = True if first in _GOOD_OUTCOMES else False if first in _BAD_OUTCOMES else None
        return Field(name=name, type="integer", role=role, event_is_good=good)
    if kind in ("number", "integer") and ranges and len(column):
        values = pd.to_numeric(column).astype("float64")
        return Field(
            name=name, type=kind, role=role, minimum=_short(values.min()), maximum=_short(values.max())
        )
    if kind == "string" and role == "covariate" and len(column):
        return Field(name=name, type=kind, role=role, enum=_labels(column))
    if kind == "string" and role is None:
        description = f"Draft: more than {_MOST_CATEGORIES} different texts, so not used."
        return Field(name=name, type=kind, role=None, description=description)
    return Field(name=name, type=kind, role=role)


def _labels(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in column}))


def _short(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)
