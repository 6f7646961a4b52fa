"""Partial values: measurements of arms by criteria on scales of 0 (worst) to 1 (best), with their draws."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import ROUNDING, FloatArray, as_pandas, check_vector, count_of, listed
from treatsel._lazy import lazy
from treatsel._reporting.summary import Summarized, Summary, some_of
from treatsel.errors import InputError, warn
from treatsel.preference._criterion import Criterion

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PartialValues(Summarized):
    """Arms by criteria on scales of 0 (worst) to 1 (best), for one patient.

    Attributes
    ----------
    arms : tuple
        Labels of the arms.
    criteria : tuple of Criterion
        What they are judged by.
    block : ndarray of shape (n_criteria, n_arms, n_draws)
        Joint draws: values with the same last index belong together. One draw: no uncertainty of the model.
    """

    arms: tuple[Any, ...]
    criteria: tuple[Criterion, ...]
    block: FloatArray

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the criteria."""
        return tuple(criterion.name for criterion in self.criteria)

    @property
    def n_draws(self) -> int:
        """Number of joint draws; 1 if the values are known."""
        return int(self.block.shape[2])

    @lazy
    def means(self) -> FloatArray:
        """Means over the draws, shape (n_arms, n_criteria)."""
        return np.asarray(self.block.mean(axis=2).T)

    def select(self, criteria: Iterable[str]) -> "PartialValues":
        """Return the values of some criteria, in the given order."""
        rows = [position_of(name, self.names) for name in criteria]
        return replace(
            self, criteria=tuple(self.criteria[i] for i in rows), block=np.ascontiguousarray(self.block[rows])
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return the means: one row per arm, one column per criterion."""
        import pandas as pd

        return pd.DataFrame(
            self.means.copy(), index=pd.Index(self.arms, name="arm"), columns=list(self.names)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return arms, criteria with their ranges, and means."""
        return {
            "criteria": {one.name: {"worst": one.worst, "best": one.best} for one in self.criteria},
            "means": {
                str(arm): dict(zip(self.names, row.tolist(), strict=True))
                for arm, row in zip(self.arms, self.means, strict=True)
            },
            "n_draws": self.n_draws,
        }

    def _summary(self) -> Summary:
        return Summary(
            title="PartialValues",
            headline=size_text(len(self.arms), len(self.criteria)),
            facts=[
                ("arms", some_of(self.arms)),
                ("criteria", some_of([one.describe() for one in self.criteria])),
                ("draws", f"{self.n_draws:,}"),
            ],
        )


def size_text(n_arms: int, n_criteria: int) -> str:
    """Return numbers of arms and criteria as text."""
    return f"{count_of(n_arms, 'arm')} by {count_of(n_criteria, 'criterion', 'criteria')}"


def partial_values(
    measurements: Mapping[str, Any], criteria: Sequence[Criterion], *, arms: Sequence[Any] | None = None
) -> PartialValues:
    """Return the measurements of one patient's arms on scales of 0 (worst) to 1 (best).

    Parameters
    ----------
    measurements : mapping of criterion to values by arm
        For each criterion a mapping or Series of arm to value, a DataFrame of draws with a column per arm,
        or, if `arms` is given, an array of shape (n_arms,) or (n_draws, n_arms). Draws must be joint: rows
        with the same number belong to the same draw of the model. What is known without uncertainty, such as
        a waiting time, has one value per arm.
    criteria : sequence of Criterion
        One for each key of `measurements`.
    arms : sequence of labels, optional
        Order of the arms; None: as in the first criterion.

    Returns
    -------
    PartialValues
        (x - worst) / (best - worst), without limits at 0 and 1.

    Raises
    ------
    InputError
        If a criterion has no range or no measurements, or the arms or numbers of draws differ.

    Warns
    -----
    TreatselWarning
        If the mean of an arm lies outside a stated range: weights that were given for this range do not
        describe it.

    Examples
    --------
    >>> values = partial_values(
    ...     {"remission": {"CBT": 0.5, "SSRI": 0.4}, "wait": {"CBT": 11, "SSRI": 2}},
    ...     [Criterion("remission", worst=0.2, best=0.6), Criterion("wait", worst=20, best=2)],
    ... )
    >>> values.to_frame()
          remission  wait
    arm
    CBT        0.75   0.5
    SSRI       0.50   1.0
    """
    check_criteria(list(measurements), criteria)
    if arms is None:
        arms = _labels_of(as_pandas(measurements[criteria[0].name]))
    if arms is None:
        raise InputError(
            f"Criterion {criteria[0].name!r} holds values without labels of arms. Set arms= to name them."
        )
    labels = tuple(arms)
    if len(set(labels)) < len(labels) or not labels:
        raise InputError(f"arms must be different labels, at least one; found {listed(labels)}.")
    tables = [_by_arm(one.name, measurements[one.name], labels) for one in criteria]
    numbers = {len(table) for table in tables} - {1}
    if len(numbers) > 1:
        raise InputError(
            f"Criteria have {sorted(numbers)} draws. Draws must be joint: give the same number for each, or "
            "one value per arm for what is known."
        )
    block = np.empty((len(criteria), len(labels), max(numbers, default=1)))
    for row, one, table in zip(block, criteria, tables, strict=True):
        row[:] = one.value(table.T)
    found = PartialValues(arms=labels, criteria=tuple(criteria), block=block)
    _warn_of_values_out_of_range(found)
    return found


def check_criteria(measured: Sequence[str], criteria: Sequence[Criterion]) -> None:
    """Raise unless each measurement has one criterion, and each criterion a measurement."""
    if not criteria or not all(isinstance(one, Criterion) for one in criteria):
        raise InputError("criteria must be a list of Criterion, at least one.")
    names = [one.name for one in criteria]
    if len(set(names)) < len(names):
        raise InputError(f"Criteria must have different names; found {listed(names)}.")
    if missing := [name for name in measured if name not in names]:
        raise InputError(
            f"The measurements {listed(missing)} have no criterion, so that neither their direction nor "
            "their range is known. Add a Criterion with worst and best for each."
        )
    if missing := [name for name in names if name not in measured]:
        raise InputError(f"The criteria {listed(missing)} have no measurements. Add them, or leave them out.")


def position_of(name: str, names: Sequence[str]) -> int:
    """Return the position of a criterion; raise if it is unknown."""
    if name not in names:
        raise InputError(f"Unknown criterion {name!r}; the criteria are {listed(names)}.")
    return names.index(name)


def _labels_of(measured: Any) -> list[Any] | None:
    """Return the labels of the arms of a DataFrame, a Series or a mapping; None for arrays and lists."""
    if isinstance(measured, Mapping):
        return list(measured)
    for attribute in ("columns", "index"):
        labels = getattr(measured, attribute, None)
        if labels is not None and not callable(labels):  # a list has a method of this name
            return list(labels)
    return None


def _by_arm(name: str, measured: Any, arms: tuple[Any, ...]) -> FloatArray:
    """Return measurements as an array of shape (n_draws, n_arms), matched by label."""
    measured = as_pandas(measured)
    labels = _labels_of(measured)
    if labels is not None:
        if set(labels) != set(arms) or len(labels) != len(arms):
            raise InputError(
                f"Criterion {name!r} has the arms {listed(labels)}, but expected are {listed(arms)}. Give a "
                "value for each arm, once."
            )
        columns = [np.atleast_1d(check_column(name, measured[arm])) for arm in arms]
        return np.stack(columns, axis=1)
    table = np.atleast_2d(np.asarray(measured))
    if table.ndim != 2 or table.shape[1] != len(arms) or not len(table):
        raise InputError(
            f"Criterion {name!r} has the shape {np.shape(measured)}; allowed are ({len(arms)},) and "
            f"(n_draws, {len(arms)}), for {count_of(len(arms), 'arm')}."
        )
    return np.stack([check_column(name, column) for column in table.T], axis=1)


def check_column(name: str, values: Any) -> FloatArray:
    """Return the values of one arm as a vector of finite numbers."""
    return check_vector(f"Criterion {name!r}", np.atleast_1d(values))


def _warn_of_values_out_of_range(values: PartialValues) -> None:
    """Warn of criteria with arms whose means lie outside the stated range."""
    outside = (values.means < -ROUNDING) | (values.means > 1 + ROUNDING)
    for one, n in zip(values.criteria, outside.sum(axis=0), strict=True):
        if n:
            warn(
                f"The mean of {count_of(int(n), 'arm')} lies outside the stated range of criterion "
                f"{one.describe()}. Weights given for this range do not describe it; state a wider range, "
                "and ask for the weights again."
            )
