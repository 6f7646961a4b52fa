"""What is to be allocated: utilities, permissions and limits, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import (
    FloatArray,
    as_pandas,
    as_text,
    by_text,
    check_arm,
    check_unique,
    check_vector,
    count_of,
    listed,
)
from treatsel.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

BoolArray = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """A smallest number of patients with an arm (None: any), in a group (None: all)."""

    group: int | None
    arm: int | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Patients by arms, and the limits.

    Attributes
    ----------
    patients : Index
        Patient ids.
    arms : tuple
        Arms, in the order of the columns.
    utility : ndarray of shape (n_patients, n_arms)
        What each patient gains over having no arm, which counts 0.
    allowed : ndarray of bool of shape (n_patients, n_arms)
        Permissions.
    capacity : ndarray of int of shape (n_arms,)
        Places; the number of patients for an arm without a limit.
    stated : ndarray of int of shape (n_arms,)
        Capacities as they were stated; `capacity` is at most the number of patients.
    limited : ndarray of bool of shape (n_arms,)
        Whether a capacity was stated.
    minimums : tuple of Minimum
        Smallest numbers.
    groups : ndarray of int of shape (n_patients,)
        Position of each patient's group in `group_names`.
    group_names : tuple
        Names of groups; one, None, if there are none.
    defer : bool
        Whether a patient may be left without an arm.
    """

    patients: "pd.Index[Any]"
    arms: tuple[Any, ...]
    utility: FloatArray
    allowed: BoolArray
    capacity: Positions
    limited: BoolArray
    stated: Positions
    minimums: tuple[Minimum, ...]
    groups: Positions
    group_names: tuple[Any, ...]
    defer: bool


def check_problem(
    utility: Any,
    capacity: Any,
    *,
    allowed: Any,
    minimum: Any,
    groups: Any,
    defer: bool,
    column: str = "arm",
) -> Problem:
    """Return the checked problem; `column` is what columns are called in messages."""
    table, own = _utilities(utility)
    arms = tuple(table.columns)
    n = len(table)
    permitted = own & _permissions(allowed, table)
    places = _counts("capacity", capacity, arms, column)
    group_of, names = _groups(groups, table.index)
    return Problem(
        patients=table.index,
        arms=arms,
        utility=np.where(permitted, table.to_numpy(dtype=np.float64), 0.0),
        allowed=permitted,
        capacity=np.array([min(places.get(arm, n), n) for arm in arms], dtype=np.int64),
        limited=np.array([arm in places for arm in arms]),
        stated=np.array([places.get(arm, n) for arm in arms], dtype=np.int64),
        minimums=_minimums(minimum, arms, names, column),
        groups=group_of,
        group_names=names,
        defer=bool(defer),
    )


def _utilities(utility: Any) -> tuple["pd.DataFrame", BoolArray]:
    """Return the table, and what recommendations permit."""
    import pandas as pd

    recommended = getattr(utility, "columns", None)
    if isinstance(recommended, Mapping) and "excluded" in recommended:  # `Recommendations`
        permitted = _of_recommendations(utility)
        table = utility.utility
        if n := int((permitted & ~np.isfinite(table.to_numpy(dtype=np.float64))).sum()):
            raise InputError(f"The recommendations have {n:,} utilities that are not finite numbers.")
        check_unique("The patients of the recommendations, compared as text,", map(as_text, table.index))
        return table, permitted
    table = as_pandas(utility)
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            "utility must be a DataFrame of patients by arms, or recommendations; it is a "
            f"{type(table).__name__}."
        )
    if not len(table.columns) or not len(table):
        raise InputError("utility is empty. It needs one row per patient and one column per arm.")
    check_unique("The columns of utility", table.columns)
    check_unique("The patients (index) of utility, compared as text,", map(as_text, table.index))
    values = {arm: check_vector(f"Column {arm!r} of utility", table[arm]) for arm in table.columns}
    return pd.DataFrame(values, index=table.index), np.ones(table.shape, dtype=bool)


def _of_recommendations(recommendations: Any) -> BoolArray:
    """Return the permitted arms; raise if the model may not be used for somebody."""
    excluded, arms = recommendations.columns["excluded"], recommendations.arms
    permitted = np.array([[arm not in reasons for arm in arms] for reasons in excluded], dtype=bool)
    outside = (recommendations.columns["status"] == "out_of_scope") & permitted.any(axis=1)
    if n := int(outside.sum()):
        raise InputError(
            f"The model may not be used for {count_of(n, 'patient')} (status out_of_scope), so that their "
            "utilities say nothing. Leave them out, and reduce the capacities by the places that they take."
        )
    return permitted


def _permissions(allowed: Any, table: "pd.DataFrame") -> BoolArray:
    import pandas as pd

    from treatsel._stats.alignment import aligned

    if allowed is None:
        return np.ones(table.shape, dtype=bool)
    if not isinstance(allowed, pd.DataFrame):
        raise InputError(f"allowed must be a DataFrame of True and False, not a {type(allowed).__name__}.")
    check_unique("The columns of allowed", allowed.columns)
    allowed = allowed.rename(columns=by_text(table.columns))
    if missing := [arm for arm in table.columns if arm not in allowed.columns]:
        raise InputError(f"allowed must contain every column of utility; it lacks {listed(missing)}.")
    found = aligned("allowed", allowed, table.index)[list(table.columns)]
    if found.isna().any(axis=None) or not all(pd.api.types.is_bool_dtype(kind) for kind in found.dtypes):
        raise InputError("allowed must hold True and False only.")
    return np.asarray(found.to_numpy(dtype=bool))


def _count(name: str, label: Any, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise InputError(f"{name} of {label!r} must be a whole number of patients, 0 or more.")
    return int(value)


def _counts(name: str, given: Any, arms: tuple[Any, ...], column: str) -> dict[Any, int]:
    """Return whole numbers by arm."""
    if hasattr(given, "to_dict"):
        given = given.to_dict()
    if not isinstance(given, Mapping):
        raise InputError(f"{name} must be a mapping of {column} to a number of places.")
    found = {check_arm(name, label, arms): _count(name, label, n) for label, n in given.items()}
    if len(found) < len(given):
        raise InputError(f"{name} names {column}s twice. Each can have one number.")
    return found


def _groups(groups: Any, patients: "pd.Index[Any]") -> tuple[Positions, tuple[Any, ...]]:
    """Return the position of each patient's group, and the names of the groups."""
    import pandas as pd

    from treatsel._stats.alignment import aligned

    if groups is None:
        return np.zeros(len(patients), dtype=np.int64), (None,)
    if not isinstance(groups, pd.Series):
        raise InputError("groups must be a Series with the group of each patient.")
    own = aligned("groups", groups, patients)
    if n := int(own.isna().sum()):
        raise InputError(
            f"groups lacks the group of {count_of(n, 'patient')}. Give these patients a group of their own, "
            "for example 'not stated'."
        )
    labels = own.astype("object")
    names = sorted(labels.unique(), key=str)
    position = {name: place for place, name in enumerate(names)}
    return np.array([position[label] for label in labels], dtype=np.int64), tuple(names)


def _minimums(
    minimum: Any, arms: tuple[Any, ...], groups: tuple[Any, ...], column: str
) -> tuple[Minimum, ...]:
    """Return minimums; a key is an arm, or a pair of group and arm (None: any arm)."""
    if minimum is None:
        return ()
    if not isinstance(minimum, Mapping):
        raise InputError(
            f"minimum must be a mapping of {column}, or of pairs (group, {column}), to a number of patients."
        )
    found = []
    for key, value in minimum.items():
        n = _count("minimum", key, value)
        if isinstance(key, tuple) and key not in arms:
            if len(key) != 2:
                raise InputError(f"minimum has the key {key!r}; a pair (group, {column}) has two entries.")
            if groups == (None,):
                raise InputError(f"minimum has the key {key!r}. Give groups= as well.")
            group = groups.index(check_arm("The group in minimum", key[0], groups))
            arm = None if key[1] is None else arms.index(check_arm("minimum", key[1], arms))
            found.append(Minimum(group=group, arm=arm, n=n))
        else:
            found.append(Minimum(group=None, arm=arms.index(check_arm("minimum", key, arms)), n=n))
    return tuple(found)
