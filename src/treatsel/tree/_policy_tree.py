"""`policy_tree`: the best rule of few splits for doubly robust scores."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, as_pandas, check_unique, count_of
from treatsel._stats.by_arm_tables import check_table, shares_of
from treatsel._stats.clustered_means import Units, check_units, mean_of
from treatsel._stats.estimate import Estimate
from treatsel._stats.folds import folds_by_key
from treatsel._stats.row_hashes import row_keys
from treatsel.errors import InputError
from treatsel.tree._growth import EXACT, Grower, arms_under, nodes_of
from treatsel.tree._result import Agreement, PolicyTree
from treatsel.tree._rules import features_of

DEEPEST = 3
FOLDS = 5
LEVEL = 0.95
FEWEST_IN_FOLD = 2  # leaves that the patients outside a fold can fill: fewer, and only a leaf is left


def policy_tree(
    scores: pd.DataFrame,
    X: pd.DataFrame,
    depth: int = 2,
    *,
    recommended: Any = None,
    clusters: Any = None,
    min_leaf: int = 20,
    n_cuts: int | None = None,
) -> PolicyTree:
    """Find the tree of few splits whose assignment of arms has the highest mean score.

    The search is exact up to two levels of splits. A third level is a hybrid: the first split is that of the
    best tree of two levels, and both branches are trees of two levels, each the best one.

    Parameters
    ----------
    scores : DataFrame of shape (n_patients, n_arms)
        Score of each patient under each arm, columns named by arm; higher is better. Doubly robust scores of
        a good outcome, as from `treatsel.metrics.aipw_scores`; of an outcome that is bad, give 1 minus the
        scores. Predictions instead of scores summarize the model alone, and the interval of the gain then
        leaves out that the predictions are uncertain.
    X : DataFrame of shape (n_patients, n_columns)
        Covariates that the rule may use, in the order of `scores`: numbers, texts, booleans or categories.
    depth : int, default 2
        Most levels of splits, 0 to 3. A tree has fewer levels if more do not increase the mean score.
    recommended : array-like of labels or DataFrame of shares, optional
        Recommended arm of each patient, as for `treatsel.metrics.policy_value`, to be compared with the tree.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient: for folds that keep a cluster whole, and cluster-robust intervals.
    min_leaf : int, default 20
        Smallest number of patients of a leaf.
    n_cuts : int, optional
        Most cuts of each number, at its quantiles; None: every observed value. Limits the time for many
        patients; the search is exact among these cuts.

    Returns
    -------
    PolicyTree

    Raises
    ------
    InputError
        If tables do not fit together, a score is not finite, a column has an unknown type, or there are fewer
        than `min_leaf` patients.

    Notes
    -----
    A number or an ordered category is split into values up to an observed value, and larger ones. A category
    is split into one level and all others, to which an unknown level belongs. Patients without a number are
    sent where the score is higher; if no patient of a node lacks it, to the branch with more patients. A
    missing category is a level of its own.

    Trees of the same value (within rounding) are told apart by fewer levels, then, at each node from the top,
    by the name of the column and by the lower cut. Arms that are tied in a leaf give way to the best single
    arm, then to the first name. Neither rows nor columns matter by their order. The five folds of the
    cross-fitting follow hashes of the rows.

    References
    ----------
    Athey & Wager (2021), Econometrica 89(1), 133-161. doi:10.3982/ECTA15732
    Zhou, Athey & Wager (2023), Operations Research 71(1), 148-183. doi:10.1287/opre.2022.2271

    Examples
    --------
    >>> scores = pd.DataFrame({"CBT": [0.9, 0.8, 0.1, 0.2], "SSRI": [0.4, 0.5, 0.6, 0.7]})
    >>> X = pd.DataFrame({"phq9": [8, 12, 17, 21], "age": [30, 40, 35, 28]})
    >>> tree = policy_tree(scores, X, depth=1, min_leaf=1)
    >>> print(tree.to_text())
    if phq9 <= 12:
        CBT (fewer than 5 patients)
    otherwise:
        SSRI (fewer than 5 patients)
    """
    table, X = check_table("scores", scores), _checked_covariates(X)
    units = check_units(None, clusters, LEVEL, scores=table, X=X, recommended=recommended)
    _check_sizes(depth, min_leaf, n_cuts, len(table))
    values, arms = table.to_numpy(dtype=np.float64), tuple(table.columns)
    nodes, best = _fitted(values, X, arms, depth, min_leaf, n_cuts)
    assigned = _positions(arms_under(nodes, X), arms)
    crossed = _cross_fitted(values, X, arms, units, (depth, min_leaf, n_cuts))
    means = values.mean(axis=0)
    gained = [None if one is None else _gain(values, one, best, units) for one in (assigned, crossed)]
    compared = None
    if recommended is not None:
        compared = _agreement(values, table, recommended, assigned, crossed, units)
    return PolicyTree(
        nodes=nodes,
        arms=arms,
        columns=tuple(sorted({str(node.column) for node in nodes if not node.is_leaf})),
        n=len(values),
        min_leaf=min_leaf,
        method=_method(depth, n_cuts),
        value=float(values[np.arange(len(values)), assigned].mean()),
        single_arms={arm: float(mean) for arm, mean in zip(arms, means, strict=True)},
        best_arm=arms[best],
        gain=_estimate(gained[0], units, "in sample"),
        cross_fitted_gain=None if crossed is None else _estimate(gained[1], units, f"{FOLDS} folds"),
        agreement=compared,
    )


def _checked_covariates(X: Any) -> pd.DataFrame:
    X = as_pandas(X)
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"X must be a DataFrame of covariates; it is a {type(X).__name__}.")
    if n := sum(not isinstance(name, str) for name in X.columns):
        raise InputError(f"X has {count_of(n, 'column')} with a name that is not text. Rename them.")
    check_unique("The columns of X", X.columns)
    return X


def _check_sizes(depth: Any, min_leaf: Any, n_cuts: Any, n: int) -> None:
    wanted: list[tuple[str, Any, int, float]] = [("depth", depth, 0, DEEPEST), ("min_leaf", min_leaf, 1, n)]
    wanted += [] if n_cuts is None else [("n_cuts", n_cuts, 1, np.inf)]
    for name, value, low, high in wanted:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise InputError(f"{name} must be a whole number, not a {type(value).__name__}.")
        if not low <= value <= high:
            most = "" if high == np.inf else f" and at most {high}"
            why = " (the number of patients)" if name == "min_leaf" else ""
            raise InputError(f"{name} is {value}; it must be at least {low}{most}{why}.")


def _fitted(
    values: FloatArray, X: pd.DataFrame, arms: Any, depth: int, min_leaf: int, n_cuts: int | None
) -> tuple[Any, int]:
    grower = Grower(features_of(X, n_cuts), values, arms)
    return nodes_of(grower.grow(depth, min_leaf), values, arms), grower.best_arm


def _positions(labels: np.ndarray, arms: tuple[Any, ...]) -> np.ndarray:
    place = {arm: number for number, arm in enumerate(arms)}
    return np.array([place[label] for label in labels], dtype=np.intp)


def _cross_fitted(
    values: FloatArray, X: pd.DataFrame, arms: Any, units: Units, options: tuple[int, int, int | None]
) -> np.ndarray | None:
    """Return the arm of each patient under a tree that was fitted to the other folds; None if too few."""
    n, min_leaf = len(values), options[1]
    if n - -(-n // FOLDS) < FEWEST_IN_FOLD * min_leaf or n < FOLDS:
        return None
    scores = pd.DataFrame(values, index=X.index, columns=[f"score of {arm}" for arm in arms])
    keys = row_keys(pd.concat([X, scores], axis=1)) / 2.0**64
    sites = None if units.codes is None else units.codes.astype(np.intp)
    if sites is not None and len(np.unique(sites)) < 2:
        return None
    alike = np.zeros(n, dtype=np.intp)  # no arms or outcomes by which to balance the folds
    found = np.empty(n, dtype=np.intp)
    for outside, inside in folds_by_key(alike, alike.astype(float), keys, sites=sites, n_splits=FOLDS):
        if len(outside) < min_leaf:
            return None
        nodes, _ = _fitted(values[outside], X.iloc[outside], arms, *options)
        found[inside] = _positions(arms_under(nodes, X.iloc[inside]), arms)
    return found


def _gain(values: FloatArray, assigned: np.ndarray, best: int, units: Units) -> FloatArray:
    return np.asarray(values[np.arange(len(values)), assigned] - values[:, best])


def _estimate(differences: Any, units: Units, how: str) -> Estimate:
    mean = mean_of(differences, units)
    return Estimate(
        value=mean.value,
        lower=mean.limits.lower,
        upper=mean.limits.upper,
        n=units.n,
        n_events=None,
        level=units.level,
        method=f"{mean.method}; {how}",
        se=mean.se,
        p_value=mean.p_value,
    )


def _agreement(
    values: FloatArray,
    table: pd.DataFrame,
    recommended: Any,
    assigned: np.ndarray,
    crossed: np.ndarray | None,
    units: Units,
) -> Agreement:
    shares, rows = shares_of(recommended, table.columns), np.arange(len(values))
    used = assigned if crossed is None else crossed
    difference = (shares * values).sum(axis=1) - values[rows, used]
    return Agreement(
        reproduced=float(shares[rows, assigned].mean()),
        reproduced_cross_fitted=float("nan") if crossed is None else float(shares[rows, crossed].mean()),
        given_up=_estimate(difference, units, "in sample" if crossed is None else f"{FOLDS} folds"),
    )


def _method(depth: int, n_cuts: int | None) -> str:
    how = "exact" if depth <= EXACT else f"hybrid of exact searches of {EXACT} levels"
    return how + ("" if n_cuts is None else f", at most {count_of(n_cuts, 'cut')} of a number")
