"""Folds for cross-fitting: balanced by arm and outcome, with every site or person kept together."""

import warnings

import numpy as np
import pandas as pd

from treatsel.errors import InputError, TreatselWarning


def balanced_folds(
    received: pd.Series,
    y: np.ndarray,
    *,
    groups: pd.Series | None = None,
    n_splits: int = 5,
    random_state: int | np.random.RandomState | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split patients into folds; return positions of the rest and of the fold, for each.

    Without groups each fold gets its share of every arm and outcome. With groups (sites, persons) a
    group is not divided; groups are dealt in random order to the smallest fold. Only where an arm would
    have all its events, or all its non-events, in one fold are groups divided, with a warning.

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
        Source of the order.

    Raises
    ------
    InputError
        If a patient has no group, or random_state is of no use.
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
    """Split patients into folds that are alike in arms, by a key of their own instead of chance.

    Patients are dealt in turn, in the order of arm and key; sites whole, in the order of size (give or take
    a quarter, by their keys), unless an arm would have all its events, or non-events, in one fold. Outcomes
    play no part: folds that are alike in them tell, from the rest, what the outcomes of a fold must be.

    Parameters
    ----------
    arms : ndarray of int of shape (n_patients,)
        Number of the received arm.
    y : ndarray of shape (n_patients,)
        Outcome, 0 or 1.
    key : ndarray of shape (n_patients,)
        Numbers from 0 to 1 that have nothing to do with the outcome.
    sites : ndarray of int of shape (n_patients,), optional
        Number of the site.
    n_splits : int
        Number of folds; fewer if there are fewer sites.
    """
    fold = None
    if sites is not None and len(np.unique(sites)) > 1:
        sizes = np.bincount(sites)
        of_site = np.mod(np.bincount(sites, key), 1.0)
        order = np.argsort(-sizes * (0.75 + 0.5 * of_site), kind="stable")
        fold = _unless_lost(_dealt(order, min(n_splits, len(sizes)))[sites], pd.Series(arms), y)
    if fold is None:
        fold = _dealt(np.lexsort((key, arms)), n_splits)
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def _dealt(order: np.ndarray, n_splits: int) -> np.ndarray:
    """Return the fold of each unit, dealt in this order."""
    fold = np.empty(len(order), dtype=int)
    fold[order] = np.arange(len(order)) % n_splits
    return fold


def _unless_lost(fold: np.ndarray, received: pd.Series, y: np.ndarray) -> np.ndarray | None:
    """Return folds of groups; None, with a warning, if an arm could not be learned without one of them."""
    lost = _arms_in_one_fold(received, y, fold)
    if not lost:
        return fold
    numbered = pd.api.types.is_integer_dtype(received.dtype)  # positions, which name no arm
    who = f"{len(lost)} arms" if numbered else f"Arms {lost}"
    warnings.warn(
        f"{who} have all events, or all non-events, in one fold of groups only, so folds divide groups here.",
        TreatselWarning,
        stacklevel=4,
    )
    return None


def _arms_in_one_fold(received: pd.Series, y: np.ndarray, fold: np.ndarray) -> list[str]:
    """Return arms whose events (or non-events), two or more, no fold can do without."""
    counts = pd.Series(fold).groupby([received.to_numpy(), np.asarray(y)]).agg(["size", "nunique"])
    alone = counts[(counts["size"] > 1) & (counts["nunique"] == 1)]
    return sorted({str(arm) for arm, _ in alone.index})


def seed_of(random_state: int | np.random.RandomState | None) -> int | None:
    """Return a seed drawn from a RandomState, or the whole number or None that was given.

    Raises
    ------
    InputError
        If it is none of these.
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
    arm = pd.factorize(received.to_numpy()[order])[0]  # in random order: names have no part in it
    table = pd.DataFrame({"arm": arm, "y": np.asarray(y)[order]})
    rank = np.empty(len(y), dtype=int)
    rank[order[table.sort_values(["arm", "y"], kind="stable").index]] = np.arange(len(y))
    return rank % n_splits


def _fold_of_groups(groups: pd.Series, n_splits: int, random: np.random.Generator) -> np.ndarray:
    if n := int(groups.isna().sum()):
        raise InputError(
            f"Column {groups.name!r} holds {n} missing groups. Name a group for these patients, or leave "
            "them out."
        )
    names, codes, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    shuffled, n_splits = random.permutation(len(names)), min(n_splits, len(names))
    fold_of, filled = np.empty(len(names), dtype=int), np.zeros(n_splits)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:  # each to the smallest fold so far
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[codes]
