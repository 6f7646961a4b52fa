"""Outcomes that were not observed: by which column predictions are averaged, and observation weights."""

import numpy as np
import pandas as pd

from treatsel._disclosure import SMALLEST_GROUP, is_small
from treatsel._stats.folds import balanced_folds
from treatsel.errors import warn
from treatsel.models import LossTest, Observation, loss_test, observation_weights

# Patients whose outcome was observed that are needed, with and without dropout, to model its association.
FEWEST_KNOWN = 20


def dropout_column(process: pd.DataFrame, y: pd.Series, received: pd.Series) -> str | None:
    """Return the 0/1 process column over which predictions are averaged, if there is one.

    Of several, the one most strongly associated with observation. The outcome must have been observed in
    enough patients with and without it, and every arm must have both.
    """
    seen = y.notna()
    if seen.all():
        return None
    found = {}
    for name in process:
        column = process[name]
        if column.isna().any() or not column.isin([0, 1]).all():
            continue
        value = column.astype(float)
        known = pd.crosstab(value, seen).reindex(index=[0.0, 1.0], columns=[False, True], fill_value=0)
        by_arm = pd.crosstab(received, value).reindex(columns=[0.0, 1.0], fill_value=0)
        if known[True].min() < FEWEST_KNOWN or by_arm.to_numpy().min() < 2:
            continue
        found[str(name)] = abs(np.corrcoef(value, seen)[0, 1])
    return max(found, key=lambda name: found[name]) if found else None


def observation_of(
    X: pd.DataFrame,
    y: pd.Series,
    process: pd.DataFrame,
    pattern: str | None,
    *,
    arm: str,
    groups: pd.Series | None,
    seed: int | None,
) -> Observation | None:
    """Return observation weights from covariates and process columns; None if every outcome was observed."""
    seen = y.notna().to_numpy()
    if seen.all():
        return None
    n = int((~seen).sum())
    if is_small(n):
        lost = f"fewer than {SMALLEST_GROUP} of {len(y):,} patients"
    else:
        lost = f"{n:,} of {len(y):,} patients ({n / len(y):.0%})"
    names = [repr(name) for name in process]
    given = f"arm, covariates and {', '.join(names)}" if names else "arm and covariates"
    averaged = "" if pattern is None else f" with and without {pattern!r}, and averages over it"
    warn(
        f"Outcome {y.name!r} was not observed in {lost}. The model learns from the other patients{averaged}; "
        "means of arms weight them to represent all. This is unbiased only if observation depends on "
        f"{given} alone. See observation_.",
    )
    folds = balanced_folds(X[arm], seen.astype(float), groups=groups, random_state=seed)
    covariates = X.drop(columns=arm)
    usable = process.loc[:, [process[name].notna().any() for name in process]]
    return observation_weights(covariates.join(usable), X[arm], seen, folds)


def test_of_loss(
    X: pd.DataFrame,
    y: pd.Series,
    process: pd.DataFrame,
    *,
    arm: str,
    groups: pd.Series | None,
    seed: int | None,
) -> LossTest | None:
    """Test whether loss depends on process columns; None with hardly any loss or without such columns."""
    seen = y.notna().to_numpy()
    columns = process.loc[:, [len(process[name].drop_duplicates()) > 1 for name in process]]
    if seen.all() or is_small(int((~seen).sum())) or not columns.shape[1]:
        return None
    folds = balanced_folds(X[arm], seen.astype(float), groups=groups, random_state=seed)
    return loss_test(X.drop(columns=arm), X[arm], seen, columns, folds)
