"""Drafts of codebooks: guess type and role of a table's columns, for a person to review.

What is guessed, and why, is noted in each field. Where values, names and associations leave doubt, the role
is "undecided", with which no model is trained.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import Enum

import numpy as np
import pandas as pd

from treatsel._checks import as_text, count_of, normal_text
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._reporting.text import hidden_in
from treatsel.codebook._column_names import (
    ARM_NAMES,
    ID_NAMES,
    SITE_NAMES,
    THERAPIST_NAMES,
    UNNAMED,
    first_known,
    is_ending,
    is_id_like,
    is_later,
    is_outcome_like,
    is_outcome_name,
    is_process,
    may_be_later,
)
from treatsel.codebook._comments import NO_VALUE, ONE_VALUE
from treatsel.codebook._convert import distinct_values, to_boolean, to_number
from treatsel.codebook._direction import SHIPPED, UNSTATED
from treatsel.codebook._field import Field
from treatsel.codebook._leaks import follows_outcome
from treatsel.codebook._related import related_columns

# Texts by which other programs write a missing value: R, SPSS, SAS, Excel, SQL.
MISSING_TEXTS = ("NA", "N/A", "n/a", "NaN", "nan", "<NA>", "NULL", "null", "#N/A", ".")
MISSING_NUMBERS = (-9, -99, -999, -9999, 9, 99, 999, 9999)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_MAX_CATEGORIES = 30  # a text column with more values is probably free text or an identifier
_MAX_CODES = 10  # whole numbers with up to this many values, and more than two, may be codes of categories
_MIN_UNIQUE = (
    20  # rows from which on a whole number that never repeats is more likely an id than a measurement
)
_LARGEST_WHOLE = 2.0**53  # beyond it every float is a whole number
_MOSTLY = 0.5  # proportion of numbers from which on a text column is a number with stray texts


def draft_fields(
    frame: pd.DataFrame,
    *,
    arm: str | None,
    outcomes: Sequence[str] | None,
    site: str | None,
    missing: Collection[str],
    ranges: bool,
) -> list[Field]:
    """Guess type, role and range of every column, with a note on what was guessed."""
    names = list(frame.columns)
    arm_name = arm or first_known(names, ARM_NAMES)
    site_name = site or first_known([name for name in names if name != arm_name], SITE_NAMES)
    known = {arm_name: "arm", site_name: "site"}
    known |= {first_known([name for name in names if name not in known], THERAPIST_NAMES): "therapist"}
    known |= {_id_of(frame, [name for name in names if name not in known], missing): "id"}
    # a table of texts only is what reading a CSV file gives; elsewhere, texts were chosen by whoever made it
    as_cells = all(_is_text(frame[name]) for name in names)
    fields = [
        _drafted(frame[name], known.get(name), outcomes, missing, ranges=ranges, as_cells=as_cells)
        for name in names
    ]
    fields = [
        replace(field, note=field.note.removeprefix(_by_name(field.role)).strip())
        if field.name in (arm, site)  # stated, not guessed
        else field
        for field in fields
    ]
    clean = {field.name: field.parse(frame[field.name], tuple(missing))[0] for field in fields}
    labels = {f.name: clean[f.name].astype("float64") for f in fields if f.role == "outcome"}
    related = related_columns(clean, [field.name for field in fields if field.role == "covariate"])
    found = [_without_leak(field, clean[field.name], labels, related.get(field.name)) for field in fields]
    return _in_stated_order([_if_constant(field, clean[field.name]) for field in found], outcomes)


def _in_stated_order(fields: list[Field], outcomes: Sequence[str] | None) -> list[Field]:
    """Return the fields, outcomes in the order in which they were stated: the first is the main one."""
    stated = [field for name in outcomes or [] for field in fields if field.name == name]
    if len(stated) != sum(field.role == "outcome" for field in fields):
        return fields
    ordered = iter(stated)
    return [next(ordered) if field.role == "outcome" else field for field in fields]


def missing_texts(frame: pd.DataFrame, given: Collection[str]) -> dict[str, list[str]]:
    """Return texts that look like codes for missing, each with the columns that hold it."""
    found: dict[str, list[str]] = {}
    for name in frame.columns:
        if not (_is_text(frame[name]) or frame[name].dtype == object):
            continue
        texts = set(pd.unique(frame[name].dropna().astype("object").map(as_text)))
        for text in MISSING_TEXTS:
            if text in texts and text not in given:
                found.setdefault(text, []).append(str(name))
    return found


def _id_of(frame: pd.DataFrame, names: Sequence[str], missing: Collection[str]) -> str | None:
    """Return the column of patient ids: by name, and one that never repeats before one that does."""
    if (plain := first_known(names, ID_NAMES)) is not None:
        return plain
    for name in names:
        if is_id_like(name) and _never_repeats(_distinct(frame[name], missing), len(frame)):
            return name
    return None


def _distinct(column: pd.Series, missing: Collection[str]) -> pd.Series:
    """Return the distinct values that are not missing; equal ones of different types (1 and "1") once."""
    kind = pd.api.types
    if kind.is_numeric_dtype(column.dtype) and not kind.is_bool_dtype(column.dtype):
        numbers = pd.Series(np.unique(column.dropna().to_numpy(dtype=np.float64)))
        return numbers[~numbers.isin(to_number(pd.Series(list(missing), dtype="object")))]
    values = distinct_values(column, missing)
    return values[~values.map(_category).duplicated()]


def _never_repeats(values: pd.Series, n: int) -> bool:
    """Whether each of n patients has another value: texts or whole numbers, as ids have."""
    if values.empty or len(values) < n:
        return False
    numbers = to_number(values)
    return bool(numbers.isna().any() or ((numbers.abs() <= _LARGEST_WHOLE) & (numbers % 1 == 0)).all())


def _is_text(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty")


def _drafted(
    column: pd.Series,
    role: str | None,
    outcomes: Sequence[str] | None,
    missing: Collection[str],
    *,
    ranges: bool,
    as_cells: bool,
) -> Field:
    values = _distinct(column, missing)
    if role is not None:
        return _label(column, role, missing)
    declared = isinstance(column.dtype, pd.CategoricalDtype) or (_is_text(column) and not as_cells)
    declared |= column.dtype == object and bool(values.map(lambda value: isinstance(value, Enum)).any())
    kind = _kind(values, declared=declared)
    role, note = _role(column, kind, values, outcomes, missing)
    field = _field(column, kind, role, values, ranges)
    return replace(field, note=" ".join(filter(None, [note, "" if note else field.note])))


def _kind(values: pd.Series, *, declared: bool = False) -> str:
    if values.empty:
        return "string"
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    if not numeric and values.map(lambda value: isinstance(value, pd.Timestamp | np.datetime64)).all():
        return "datetime"
    if not declared:
        numbers = to_number(values)
        if numbers.notna().all():
            if numbers.isin([0, 1]).all():
                return "boolean"
            whole = (numbers.abs() <= _LARGEST_WHOLE).all() and (numbers % 1 == 0).all()
            return "integer" if whole else "number"
    if to_boolean(values).notna().all():
        return "boolean"
    return "date" if values.map(lambda value: bool(_DATE.fullmatch(str(value)))).all() else "string"


def _role(
    column: pd.Series, kind: str, values: pd.Series, outcomes: Sequence[str] | None, missing: Collection[str]
) -> tuple[str | None, str]:
    """Return a role, and why it is not that of a covariate."""
    name = str(column.name)
    if outcomes is not None and name in outcomes:
        return "outcome", ""
    if kind in ("date", "datetime"):
        return "date", ""
    if is_process(name) and not is_outcome_name(name):
        return "process", "The name says attendance, or how treatment ended: recorded after it began."
    if is_outcome_like(name) and len(values) <= 3 and kind != "number":
        if kind == "boolean" and is_outcome_name(name):
            other = "process" if is_ending(name) else "session_score"
            return ("outcome", "An outcome by its name.") if outcomes is None else (other, "")
        return "undecided", (
            "The name suggests an outcome. If it is one: role outcome, and type boolean with trueValues and "
            "falseValues unless it is coded 0 and 1."
        )
    if is_later(name):
        return "session_score", "The name says that it was recorded after treatment began."
    if name.startswith(UNNAMED):
        return None, "A column without a name; not used."
    if _holds_time_differences(column):
        return "undecided", "Holds time differences: make a number of days (or another unit) of them."
    if kind == "string" and len(_labels(values)) > _MAX_CATEGORIES and not is_id_like(name):
        return None, f"More than {_MAX_CATEGORIES} different texts; not used."
    if doubt := _doubt(column, kind, values, missing):
        return "undecided", doubt
    return "covariate", ""


def _doubt(column: pd.Series, kind: str, values: pd.Series, missing: Collection[str]) -> str:
    """Return why a column may not be a covariate, or must be recoded first; empty if there is no doubt."""
    name = str(column.name)
    if len(column) >= _MIN_UNIQUE and kind in ("integer", "string") and _never_repeats(values, len(column)):
        return "No value occurs twice: an id or a record number?"
    if is_id_like(name) and kind in ("integer", "string") and len(values) > len(column) / 2:
        return "The name and the number of different values suggest an id."
    numbers = to_number(values)
    if kind == "string" and _MOSTLY <= float(numbers.notna().mean()) < 1:
        n = int(numbers.isna().sum())
        return f"Numbers, and {count_of(n, 'other text')}: a code for missing? Then add it to missingValues."
    if kind in ("integer", "number") and (code := suspected_missing(column, values, missing)) is not None:
        return f"{code} may stand for a missing value: then add it to missingValues."
    if may_be_later(name):
        return "The name suggests that it was recorded after treatment began."
    if first_known([name], ARM_NAMES) is not None:
        return "The name suggests an arm; another column is the arm: usually no role."
    if first_known([name], SITE_NAMES) is not None:
        return "The name suggests a site; another column is the site: usually no role."
    return ""


def suspected_missing(column: pd.Series, values: pd.Series, missing: Collection[str]) -> int | None:
    """Return a number such as 999 that is an extreme of the column, far from all others, and repeated."""
    numbers = np.sort(to_number(values).to_numpy())
    if len(numbers) < 3 or not np.isfinite(numbers).all():
        return None
    for code, rest in ((numbers[-1], numbers[:-1]), (numbers[0], numbers[1:])):
        if code not in MISSING_NUMBERS:
            continue
        width = rest[-1] - rest[0]
        gap = min(abs(code - rest[0]), abs(code - rest[-1]))
        lone_sign = code < 0 <= rest[0]
        if not (gap > max(width / 2, 1) or lone_sign):
            continue
        n = int((column.astype("object").map(as_text, na_action="ignore") == as_text(float(code))).sum())
        if n >= 2 or lone_sign:
            return int(code)
    return None


def _holds_time_differences(column: pd.Series) -> bool:
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return True
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True).startswith("timedelta")


def _without_leak(
    field: Field, clean: pd.Series, outcomes: dict[str, pd.Series], related: str | None
) -> Field:
    """Return the field, undecided if it is related to a later column, or follows an outcome too closely."""
    if field.role != "covariate":
        return field
    if related is not None:
        return replace(field, role="undecided", note=related)
    for name, outcome in outcomes.items():
        if doubt := follows_outcome(clean, outcome):
            note = f"{doubt} {name!r}: recorded after treatment began, or part of the outcome?"
            return replace(field, role="undecided", note=note)
    return field


def _if_constant(field: Field, clean: pd.Series) -> Field:
    """Return the field, with a remark if it is a covariate that holds no value, or a single one."""
    n_values = clean.nunique()
    if field.role != "covariate" or n_values > 1:
        return field
    remark = NO_VALUE
    if n_values == 1:
        of_some = "and cells without one: do these mean no?"  # a box that was ticked, or left empty
        of_all = "in this table and cannot distinguish patients: usually no role."
        remark = f"{ONE_VALUE} {of_some if clean.isna().any() else of_all}"
    return replace(field, note=f"{remark} {field.note}".strip())


def _label(column: pd.Series, role: str, missing: Collection[str]) -> Field:
    name, note = str(column.name), _by_name(role)
    if role != "arm":
        return Field(name=name, type="string", role=role, note=note)
    values = distinct_values(column, missing)
    if doubt := _doubt_of(labels := _labels(values)):
        return Field(name=name, type="string", role=role, note=f"{note} {doubt}")
    enum, more = _listed(column, labels)
    note = f"{note} {more}".strip()
    if len(values) and values.map(_is_whole_number).all():  # labels keep their type
        whole = None if enum is None else tuple(sorted(map(int, enum)))
        return Field(name=name, type="integer", role=role, enum=whole, note=note)
    return Field(name=name, type="string", role=role, enum=enum, note=note)


def _by_name(role: str | None) -> str:
    return f"Role {role} by its name."


def _is_whole_number(value: object) -> bool:
    if isinstance(value, float | np.floating):  # integers, in a column with missing values
        return bool(abs(float(value)) <= _LARGEST_WHOLE and float(value).is_integer())
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _field(column: pd.Series, kind: str, role: str | None, values: pd.Series, ranges: bool) -> Field:
    name = str(column.name)
    if role == "outcome":
        words = kind == "boolean" and to_number(values).isna().any()
        good = SHIPPED.get(name)
        note = "" if good is not None else UNSTATED
        return Field(
            name=name, type="boolean" if words else "integer", role=role, event_is_good=good, note=note
        )
    if kind in ("number", "integer") and ranges:
        numbers = to_number(values)
        if np.isfinite(numbers).all():  # otherwise the range would be that of erroneous values
            low, high = outwards(float(numbers.min()), float(numbers.max()))
            note = "Range seen in this table, rounded outwards: give the possible range."
            if kind == "integer" and 2 < len(numbers) <= _MAX_CODES:
                note = "A number, or codes of categories? If codes, list them as enum. " + note
            return Field(name=name, type=kind, role=role, minimum=low, maximum=high, note=note)
    labels = _labels(values) if kind == "string" and role in ("covariate", "undecided") else ()
    if 0 < len(labels) <= _MAX_CATEGORIES:
        if doubt := _doubt_of(labels):
            return Field(name=name, type=kind, role="undecided", note=doubt)
        enum, note = _listed(column, labels)
        return Field(name=name, type=kind, role=role, enum=enum, note=note)
    return Field(name=name, type=kind, role=role)


def outwards(low: float, high: float) -> tuple[float, float]:
    """Return a range rounded outwards to one digit of its width: no bound is a single patient's value."""
    with np.errstate(over="ignore", invalid="ignore"):  # next to the largest float
        width = high - low or max(abs(low), 1.0)
        step = 10.0 ** np.floor(np.log10(width))
        bounds = np.floor(low / step + 1e-9) * step, np.ceil(high / step - 1e-9) * step
    if not np.isfinite(bounds).all():  # steps beyond the precision of the numbers
        return _short(low), _short(high)
    return _short(min(bounds[0], low)), _short(max(bounds[1], high))


def _listed(column: pd.Series, labels: tuple[str, ...]) -> tuple[tuple[str, ...] | None, str]:
    """Return the labels of a column to list as enum, and a note.

    A label of fewer than 5 patients could identify them, and a list without it would refuse this table: the
    others are then in the note only.
    """
    counts = column.dropna().astype("object").map(_category).value_counts()
    frequent = [label for label in labels if counts.get(label, 0) >= SMALLEST_GROUP]
    if len(frequent) == len(labels):
        return labels or None, ""
    found = f"{', '.join(map(repr, frequent))} and rarer ones" if frequent else "none is more frequent"
    return None, f"Texts of fewer than {SMALLEST_GROUP} patients are not shown ({found}): list all as enum."


def _labels(values: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(set(values.map(_category))))


def _category(value: object) -> str:
    """Return a category as it will be read: texts that look alike are one."""
    return normal_text(as_text(value))


def _doubt_of(labels: Sequence[str]) -> str:
    """Return what is wrong with labels that have hidden characters, so that two may look the same; or ""."""
    codes = sorted({code for label in labels for code in hidden_in(label)})
    if not codes:
        return ""
    n = sum(bool(hidden_in(label)) for label in labels)
    return f"Characters that are not seen ({', '.join(codes[:5])}) in {n} of its texts: clean the table."


def _short(value: float) -> float:
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded.is_integer() else rounded
