"""Probability of receiving each arm: given by the user, by the design, or estimated."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import by_text, check_by_arm, check_choice, check_unique
from treatsel._stats.alignment import aligned
from treatsel._stats.folds import balanced_folds
from treatsel.errors import InputError
from treatsel.models import assignment_probabilities

NAN = float("nan")


def propensity_of(
    assignment: str | Mapping[Any, float] | pd.DataFrame,
    received: pd.Series,
    covariates: pd.DataFrame,
    arms: pd.Index,
    random_state: int | None,
    *,
    estimable: bool,
) -> tuple[pd.DataFrame, str]:
    """Return the probability of each arm for each patient, and its source as text."""
    if isinstance(assignment, pd.DataFrame):
        table = check_by_arm("assignment", assignment).rename(columns=by_text(arms))
        check_unique("The arms of assignment", table.columns)
        if lacking := [str(arm) for arm in arms if arm not in table.columns]:
            raise InputError(f"assignment lacks the arms {lacking}. Give every arm and every patient.")
        table = aligned("assignment", table, received.index)
        return _rescaled(table[list(arms)], received), "known for each patient"
    if isinstance(assignment, Mapping):
        shares = _known_shares(assignment, received, arms)
        return _rescaled(_same_for_all(shares, received), received), "known by design"
    check_choice("assignment", assignment, ["estimated", "randomised"])
    if assignment == "randomised":
        shares = received.value_counts(normalize=True).reindex(arms, fill_value=0.0)
        return _rescaled(_same_for_all(shares, received), received), "randomized, in the observed proportions"
    if not estimable:
        return _same_for_all(pd.Series(NAN, index=arms), received), "not estimated"
    folds = balanced_folds(received, np.zeros(len(received)), random_state=random_state)
    table = assignment_probabilities(covariates, received, folds).reindex(columns=arms, fill_value=0.0)
    return table, "estimated from the covariates"


def _known_shares(assignment: Mapping[Any, float], received: pd.Series, arms: pd.Index) -> pd.Series:
    """Return the known probability of each arm; labels are compared as text."""
    given = {str(arm): float(share) for arm, share in assignment.items()}
    for name in given:
        check_choice("An arm of the assignment", name, [str(arm) for arm in arms])
    lacking = sorted({str(arm) for arm in received.unique()} - set(given))
    if lacking:
        raise InputError(f"The assignment lacks the arms {lacking}, which some patients received. Add them.")
    total = sum(given.values())  # 1e-6: allows for proportions typed with six decimals
    if not (abs(total - 1) <= 1e-6 and min(given.values()) >= 0):
        raise InputError(
            f"The probabilities of the arms must be 0 or more and add up to 1, not to {total:g}."
        )
    return pd.Series({arm: given.get(str(arm), 0.0) for arm in arms})


def _same_for_all(shares: pd.Series, received: pd.Series) -> pd.DataFrame:
    values = np.tile(shares.to_numpy(dtype=float), (len(received), 1))
    return pd.DataFrame(values, index=received.index, columns=shares.index)


def _rescaled(table: pd.DataFrame, received: pd.Series) -> pd.DataFrame:
    """Return rows that add up to 1 over the arms received in this cohort."""
    given = table.columns.isin(received.unique())
    total = table.loc[:, given].sum(axis=1)
    return table.mul(given, axis=1).div(total, axis=0)
