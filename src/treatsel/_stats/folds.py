"""Folds for cross-fitting: balanced by arm and outcome, with each site or person in one fold."""

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import is_small
from treatsel.errors import InputError, warn


def balanced_folds(
    received: pd.Series,
    y: np.ndarray,
    *,
    groups: pd.Series | None = None,
    n_splits: int = 5,
    random_state: int | np.random.RandomState | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split patients into folds; return, for each fold, the positions outside and inside it.

    Without groups, each fold gets its share of every arm and outcome. Groups (sites, persons) are kept whole:
    in order of decreasing size, each is assigned to the fold that is smallest so far. Groups are divided,
    with a warning, only where an arm would otherwise have all its events, or all its non-events, in one fold.

    Parameters
    ----------
    received : Series of shape (n_patients,)
        Arm labels.
    y : array of shape (n_patients,)
        Outcome, 0 or 1.
    groups : Series of shape (n_patients,), optional
        Site or person of each patient.
    n_splits : int
        Number of folds; fewer if there are fewer groups.
    random_state : int, RandomState or None
        Source of the random order.

    Raises
    ------
    InputError
        If a patient has no group, or random_state is not valid.
    """
    random = np.random.default_rng(seed_of(random_state))
    fold = None
    if groups is not None and len(groups.unique()) > 1:
        fold = _unless_lost(_fold_of_groups(groups, n_splits, random), received, y)
    if fold is None:
        fold = _fold_of_patients(received, y, n_splits, random)
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def folds_by_key(
    arms: np.ndarray,
    y: np.ndarray,
    key: np.ndarray,
    *,
    sites: np.ndarray | None = None,
    n_splits: int = 5,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split patients into folds balanced by arm, by a key of each patient instead of at random.

    Patients are assigned to the folds in turn, in the order of arm and key. Sites are assigned whole, in the
    order of their size (varied by up to a quarter with their keys), unless one fold would hold all events, or
    all non-events, of an arm. Folds are not balanced by outcome: if they were, the outcomes outside a fold
    would reveal the number of events inside it.

    Parameters
    ----------
    arms : ndarray of int of shape (n_patients,)
        Number of the received arm.
    y : ndarray of shape (n_patients,)
        Outcome, 0 or 1.
    key : ndarray of shape (n_patients,)
        Numbers from 0 to 1 that do not depend on the outcome.
    sites : ndarray of int of shape (n_patients,), optional
        Number of the site.
    n_splits : int
        Number of folds; fewer if there are fewer sites.
    """
    fold = None
    if sites is not None and len(np.unique(sites)) > 1:
        sizes = np.bincount(sites)
        of_site = np.mod(np.bincount(sites, key), 1.0)  # a key of the site that does not depend on row order
        order = np.argsort(-sizes * (0.75 + 0.5 * of_site), kind="stable")
        fold = _unless_lost(_dealt(order, min(n_splits, len(sizes)))[sites], pd.Series(arms), y)
    if fold is None:
        fold = _dealt(np.lexsort((key, arms)), n_splits)
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def _dealt(order: np.ndarray, n_splits: int) -> np.ndarray:
    """Return the fold of each unit if units are assigned to the folds in turn, in this order."""
    fold = np.empty(len(order), dtype=int)
    fold[order] = np.arange(len(order)) % n_splits
    return fold


def _unless_lost(fold: np.ndarray, received: pd.Series, y: np.ndarray) -> np.ndarray | None:
    """Return folds of groups; None, with a warning, if some arm cannot be fitted outside one of them."""
    lost = _arms_in_one_fold(received, y, fold)
    if not lost:
        return fold
    numbered = pd.api.types.is_integer_dtype(received.dtype)  # column numbers instead of names of arms
    counts = received.astype(str).value_counts()
    rare = any(is_small(counts.get(arm, 0)) for arm in lost)  # the name may be any text of a patient
    who = count_of(len(lost), "arm") if numbered or rare else f"the arms {lost}"
    warn(
        "Groups are divided between folds: otherwise one fold would hold all events, or all non-events, of "
        f"{who}.",
    )
    return None


def _arms_in_one_fold(received: pd.Series, y: np.ndarray, fold: np.ndarray) -> list[str]:
    """Return the arms of which one fold holds all the events, or all the non-events (two or more)."""
    counts = pd.Series(fold).groupby([received.to_numpy(), np.asarray(y)]).agg(["size", "nunique"])
    alone = counts[(counts["size"] > 1) & (counts["nunique"] == 1)]
    return sorted({str(arm) for arm, _ in alone.index})


def seed_of(random_state: int | np.random.RandomState | None) -> int | None:
    """Return a seed drawn from a RandomState, or the whole number or None that was given.

    Raises
    ------
    InputError
        If it is not one of these.
    """
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if random_state is None or (isinstance(random_state, int | np.integer) and random_state >= 0):
        return random_state
    raise InputError(
        f"random_state is {random_state!r}; it must be a whole number of at least 0, a RandomState or None."
    )


def _fold_of_patients(
    received: pd.Series, y: np.ndarray, n_splits: int, random: np.random.Generator
) -> np.ndarray:
    order = random.permutation(len(y))
    arm = pd.factorize(received.to_numpy()[order])[0]  # in random order: names of arms do not matter
    table = pd.DataFrame({"arm": arm, "y": np.asarray(y)[order]})
    rank = np.empty(len(y), dtype=int)
    rank[order[table.sort_values(["arm", "y"], kind="stable").index]] = np.arange(len(y))
    return rank % n_splits


def _fold_of_groups(groups: pd.Series, n_splits: int, random: np.random.Generator) -> np.ndarray:
    if n := int(groups.isna().sum()):
        raise InputError(
            f"Column {groups.name!r} has no group for {count_of(n, 'patient')}. Give one, or leave these "
            "patients out."
        )
    names, codes, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    shuffled, n_splits = random.permutation(len(names)), min(n_splits, len(names))
    fold_of, filled = np.empty(len(names), dtype=int), np.zeros(n_splits)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:  # each to the smallest fold so far
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[codes]
