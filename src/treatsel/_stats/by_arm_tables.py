"""By-arm tables: checks, and the value of each patient's own arm."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import (
    FloatArray,
    as_pandas,
    check_by_arm,
    check_probability,
    check_unique,
    check_vector,
    count_of,
)
from treatsel._stats.ties import best_shares
from treatsel._stats.vectors import Labels, check_labels
from treatsel.errors import InputError, warn

SUM_TOLERANCE = 1e-6  # allows for rounding and float32, but is below any real error


def check_table(name: str, table: Any) -> pd.DataFrame:
    """Return a by-arm table of finite numbers; doubly robust scores may lie outside [0, 1]."""
    table = as_pandas(table)
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"{name} must be a DataFrame of patients by arms; it is a {type(table).__name__}.")
    if not len(table) or not len(table.columns):
        shape = f"{count_of(len(table), 'patient')}, {count_of(len(table.columns), 'arm')}"
        raise InputError(f"{name} is empty ({shape}); it needs at least one of each.")
    check_unique(f"The columns of {name}", table.columns)
    columns = {arm: check_vector(f"Column {arm!r} of {name}", table[arm]) for arm in table.columns}
    return pd.DataFrame(columns, index=table.index)


def check_propensities(table: Any, arms: "pd.Index[Any]") -> pd.DataFrame:
    """Return a by-arm table of propensities with its columns in the order of `arms`."""
    checked = check_by_arm("propensity", table)
    if set(checked.columns) != set(arms):
        raise InputError(
            f"propensity has the arms {list(checked.columns)}, by_arm has {list(arms)}. Give both a column "
            "for each arm."
        )
    if n := int((np.abs(checked.sum(axis=1) - 1) > SUM_TOLERANCE).sum()):
        raise InputError(
            f"propensity holds {count_of(n, 'row')} whose sum is not 1 (within {SUM_TOLERANCE:g}). Give "
            "the probability of every arm that the patient could have received."
        )
    return checked[list(arms)]


def positions_of(name: str, labels: Labels, arms: "pd.Index[Any]") -> Any:
    """Return the column number of each label; raise if an arm has no column."""
    positions = pd.Index(arms.to_numpy(dtype=object)).get_indexer(pd.Index(labels, dtype=object))
    if n := int((positions < 0).sum()):
        unknown = sorted({str(label) for label in labels[positions < 0]})
        raise InputError(
            f"{name} holds {count_of(n, 'patient')} of arms without a column: {unknown}. The table has "
            f"{[str(arm) for arm in arms]}. Add the column, or leave these patients out."
        )
    return positions


def cells_of(name: str, labels: Labels, table: pd.DataFrame) -> FloatArray:
    """Return the cell of each patient's arm."""
    positions = positions_of(name, labels, table.columns)
    return np.asarray(table.to_numpy(dtype=float)[np.arange(len(table)), positions])


def check_received_probability(name: str, probability: FloatArray) -> FloatArray:
    """Return probabilities of the received arms if all are above 0."""
    if n := int((probability <= 0).sum()):
        raise InputError(
            f"{name} is 0 for the received arm of {count_of(n, 'patient')}; it must be above 0. Check the "
            "assignment model, or leave these patients out."
        )
    return probability


def received_probability(
    propensity: Any, received: Labels, arms: "pd.Index[Any] | None" = None
) -> FloatArray:
    """Return the probability of each received arm, above 0, from a vector or from a by-arm table."""
    if not isinstance(propensity, pd.DataFrame):
        return check_received_probability("propensity", check_probability("propensity", propensity))
    table = check_propensities(propensity, propensity.columns if arms is None else arms)
    return check_received_probability("propensity", cells_of("received", received, table))


def warn_of_no_overlap(propensities: pd.DataFrame) -> None:
    """Warn of arms that some patients could not have received."""
    for arm, n in (propensities == 0).sum().items():
        if n:
            warn(
                f"{count_of(int(n), 'patient')} could not have received arm {arm!r} (propensity 0): the "
                "score for this arm rests on the outcome model alone.",
            )


def shares_of(recommended: Any, arms: "pd.Index[Any]") -> FloatArray:
    """Return the share of each arm in each patient's recommendation, shape (n_patients, n_arms).

    `recommended` holds labels, or is a by-arm table of shares that sum to 1: tied arms share a patient.
    """
    if not isinstance(recommended, pd.DataFrame):
        labels = check_labels("recommended", recommended)
        one_hot: FloatArray = np.eye(len(arms))[positions_of("recommended", labels, arms)]
        return one_hot
    table = check_by_arm("recommended", recommended)
    if unknown := [str(arm) for arm in table.columns if arm not in arms and table[arm].any()]:
        raise InputError(f"recommended has the arms {unknown}; the table has {list(map(str, arms))}.")
    if n := int((np.abs(table.sum(axis=1) - 1) > SUM_TOLERANCE).sum()):
        raise InputError(f"recommended holds {count_of(n, 'row')} of shares whose sum is not 1.")
    return table.reindex(columns=arms, fill_value=0.0).to_numpy(dtype=float)


def share_received(recommended: Any, received: Labels) -> FloatArray:
    """Return the share of the received arm in each patient's recommendation: 1 if concordant, 0 if not."""
    if not isinstance(recommended, pd.DataFrame):
        return np.asarray(received == check_labels("recommended", recommended), dtype=float)
    arms = pd.Index([*recommended.columns, *(arm for arm in pd.unique(received) if arm not in recommended)])
    positions = positions_of("received", received, arms)
    return np.asarray(shares_of(recommended, arms)[np.arange(len(received)), positions])


def share_of_arm(recommended: Any, arm: Any) -> FloatArray:
    """Return the share of one arm in each patient's recommendation."""
    if not isinstance(recommended, pd.DataFrame):
        return np.asarray(check_labels("recommended", recommended) == arm, dtype=float)
    shares = shares_of(recommended, recommended.columns)
    found = list(recommended.columns).index(arm) if arm in recommended.columns else None
    return np.zeros(len(shares)) if found is None else shares[:, found]


def value_under(recommended: Any, table: pd.DataFrame) -> FloatArray:
    """Return the value of each patient under the recommended arm; the mean over tied arms."""
    return np.asarray((shares_of(recommended, table.columns) * table.to_numpy(dtype=float)).sum(axis=1))


def completed_shares(shares: pd.DataFrame, otherwise: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return shares that sum to 1, and for how many patients they were taken from another table.

    These are the patients to whom no arm among the columns is (wholly) recommended. With the probabilities
    of the received arms as the other table, such a patient keeps the arm that is given now.
    """
    lacking = shares.sum(axis=1).to_numpy() < 1 - SUM_TOLERANCE
    found = shares.copy()
    found.loc[lacking] = otherwise.to_numpy()[lacking]
    return found, int(lacking.sum())


def recommended_shares(table: pd.DataFrame, comparator: Any) -> pd.DataFrame:
    """Return the share of each arm in each patient's recommendation: the arm of the highest value.

    Ties go to the comparator, if it is among the best; otherwise the best arms share the patient. The
    comparator is an arm, a Series with the arm of each patient, or None.
    """
    position: Any = None
    if isinstance(comparator, pd.Series):
        labels = pd.Index(table.columns.to_numpy(dtype=object))
        position = labels.get_indexer(pd.Index(comparator.loc[table.index].to_numpy(dtype=object)))
    elif comparator in table.columns:
        position = list(table.columns).index(comparator)
    shares = best_shares(table.to_numpy(dtype=float), position)
    return pd.DataFrame(shares, index=table.index, columns=table.columns)
