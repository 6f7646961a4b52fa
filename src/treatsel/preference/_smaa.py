"""Stochastic multicriteria acceptability analysis (SMAA), by simulation and exact."""

from typing import Any

import numpy as np

from treatsel._checks import ROUNDING, FloatArray, as_pandas, count_of, listed
from treatsel.errors import InputError
from treatsel.preference._acceptability import Acceptability
from treatsel.preference._partial_values import PartialValues
from treatsel.preference._polytope import Polytope, TooComplexError, cut, triangulate
from treatsel.preference._preferences import Preferences
from treatsel.preference._standings import Standings, standings_of

N_DRAWS = 10_000


def smaa(
    values: PartialValues, preferences: Preferences, *, n_draws: int = N_DRAWS, random_state: Any = 0
) -> Acceptability:
    """Return how arms rank over draws of the weights and of the model.

    Draw t of the values is paired with draw t of the weights; all arms share it. If there are fewer draws of
    the values, they are used repeatedly, each time with new weights, and the standard error takes this into
    account. If the weights are known, only the draws of the values are used.

    Parameters
    ----------
    values : PartialValues
        Arms by criteria, with joint draws.
    preferences : Preferences
        Weights of the same criteria, or what is known about them.
    n_draws : int, default 10,000
        Fewest joint draws.
    random_state : int or numpy Generator, default 0
        Seed of the weights.

    Returns
    -------
    Acceptability

    References
    ----------
    Tervonen et al. (2011), Statistics in Medicine 30(12), 1419-1428. doi:10.1002/sim.4194
    van Valkenhoef et al. (2012), Journal of Clinical Epidemiology 65(4), 394-403.
    doi:10.1016/j.jclinepi.2011.09.005

    Examples
    --------
    >>> from treatsel.preference import Criterion, partial_values
    >>> values = partial_values(
    ...     {"remission": {"CBT": 0.45, "SSRI": 0.55}, "stay": {"CBT": 0.8, "SSRI": 0.7}},
    ...     [Criterion.of_event("remission", good=True), Criterion.of_event("stay", good=True)],
    ... )
    >>> found = smaa(values, Preferences.ranked(["remission", "stay"]))
    >>> found.rank_acceptability[:, 0]
    array([0., 1.])
    """
    if n_draws < 1:
        raise InputError(f"n_draws is {n_draws}; it must be at least 1.")
    order = positions(values, preferences.criteria)
    n_model = values.n_draws
    if preferences.are_known:
        weights = preferences.weight_set.centroid[order][None]
        return _simulated(values, np.broadcast_to(weights, (n_model, len(order))))
    n = n_model * -(-n_draws // n_model)
    return _simulated(values, preferences.weight_set.sample(n, random_state)[:, order])


def smaa_of_draws(values: PartialValues, weights: Any) -> Acceptability:
    """Return how arms rank over given draws of the weights, for weights drawn elsewhere.

    Parameters
    ----------
    values : PartialValues
        Arms by criteria, with joint draws.
    weights : DataFrame with a column per criterion
        Draws, each 0 or more with the sum 1. Their number must be a multiple of that of the draws of the
        values.

    Returns
    -------
    Acceptability
    """
    weights = as_pandas(weights)
    if not hasattr(weights, "columns"):
        raise InputError("weights must be a DataFrame with a column per criterion and a row per draw.")
    order = positions(values, tuple(weights.columns))
    drawn = np.asarray(weights, dtype=float)[:, order]
    if not len(drawn) or len(drawn) % values.n_draws:
        raise InputError(
            f"There are {count_of(len(drawn), 'draw')} of the weights and {values.n_draws:,} of the values. "
            "The first number must be a multiple of the second."
        )
    if not np.isfinite(drawn).all() or (drawn < 0).any() or (np.abs(drawn.sum(axis=1) - 1) > 1e-6).any():
        raise InputError("Each draw of the weights must be 0 or more and have the sum 1.")
    return _simulated(values, drawn)


def acceptability(values: PartialValues, preferences: Preferences) -> Acceptability:
    """Return how arms rank at the mean values, over all weights that the preferences allow; exact.

    The shares of the set of weights in which an arm has each rank are volumes of polytopes. Uncertainty of
    the values does not enter, except for the confidence factors; `smaa` takes it into account.

    Parameters
    ----------
    values : PartialValues
        Arms by criteria; their means are used.
    preferences : Preferences
        Weights of the same criteria, or what is known about them.

    Returns
    -------
    Acceptability
        Its `entropy` (of the whole ranking) is not calculated.

    Raises
    ------
    InputError
        If there are too many criteria and arms for an exact result: about six of both are possible.
    """
    order = positions(values, preferences.criteria)
    whole = preferences.weight_set.polytope
    whole = Polytope(whole.points[:, order], whole.tight, whole.dimension)
    n_arms = len(values.arms)
    ranks, pairwise = np.zeros((n_arms, n_arms)), np.zeros((n_arms, n_arms))
    central = np.full((n_arms, len(order)), np.nan)
    for arm in range(n_arms):
        mass, centers = _cells(whole, values.means, arm)
        found = standings_of(values.means @ centers.T, mass)
        ranks[arm], pairwise[arm] = found.acceptability()[arm], found.pairwise[arm]
        central[[arm]] = _central_weights(found, centers)[[arm]]
    mean = preferences.weight_set.centroid[order]
    return Acceptability(
        arms=values.arms,
        criteria=values.names,
        rank_acceptability=ranks,
        error=np.zeros((n_arms, n_arms)),
        pairwise=pairwise,
        central_weights=central,
        confidence=_confidence(values, central),
        expected=values.means @ mean,
        mean_weights=mean,
        entropy=float("nan"),
        method="exact",
        n_draws=0,
        n_model_draws=1,
    )


def positions(values: PartialValues, criteria: tuple[str, ...]) -> list[int]:
    """Return where each criterion of the values is among weighted criteria, which must be the same ones."""
    if set(values.names) != set(criteria):
        raise InputError(
            f"The preferences weigh {listed(criteria)}, but the values have {listed(values.names)}. State a "
            "weight for each criterion (0 for one that does not count), or leave some out with "
            "values.select."
        )
    return [criteria.index(name) for name in values.names]


def _cells(whole: Polytope, means: FloatArray, arm: int) -> tuple[FloatArray, FloatArray]:
    """Return volumes, with the sum 1, and centroids of the parts in which the rank of an arm is the same."""
    cells = [whole]
    try:
        for other in range(len(means)):
            if other != arm:
                parts = [cut(cell, means[arm] - means[other], 0.0) for cell in cells]
                cells = [part for cell, pair in zip(cells, parts, strict=True) for part in _sides(cell, pair)]
        filled = [triangulate(cell) for cell in cells]
    except TooComplexError:
        raise InputError(
            f"The exact result for {len(means)} arms and {means.shape[1]} criteria needs too many volumes. "
            "Use smaa, or compare fewer arms."
        ) from None
    volumes = np.array([simplices.volumes.sum() for simplices in filled])
    kept = volumes > 0  # rounding may leave a part of no volume
    centers = np.stack([one.centroid for one, keep in zip(filled, kept, strict=True) if keep])
    return volumes[kept] / volumes.sum(), centers


def _sides(cell: Polytope, parts: tuple[Polytope, ...]) -> list[Polytope]:
    """Return the two sides of a cell, or the cell itself if the hyperplane does not cut it."""
    below, above, _ = parts
    return [cell] if below is cell or above is cell else [below, above]


def _simulated(values: PartialValues, weights: FloatArray) -> Acceptability:
    """Return the result over draws of the weights, shape (n_draws, n_criteria), paired with the values."""
    n, block = len(weights), values.block
    turned = np.ascontiguousarray(weights.T).reshape(len(weights.T), 1, n)
    if values.n_draws == 1:
        drawn = values.means @ weights.T
    else:
        tiles = (n // values.n_draws, values.n_draws)
        shaped = turned.reshape(len(turned), 1, *tiles)
        drawn = sum(w * x[:, None] for w, x in zip(shaped, block, strict=True)).reshape(len(values.arms), n)
    found = standings_of(drawn)
    ranks, central = found.acceptability(), _central_weights(found, weights)
    return Acceptability(
        arms=values.arms,
        criteria=values.names,
        rank_acceptability=ranks,
        error=_monte_carlo_error(found, ranks, values.n_draws),
        pairwise=found.pairwise,
        central_weights=central,
        confidence=_confidence(values, central),
        expected=drawn.mean(axis=1),
        mean_weights=weights.mean(axis=0),
        entropy=found.entropy_of_ranking(),
        method="Monte Carlo",
        n_draws=n,
        n_model_draws=values.n_draws,
        value_draws=drawn,
    )


def _central_weights(found: Standings, weights: FloatArray) -> FloatArray:
    """Return the mean of the weights with which each arm is first; NaN for one that never is."""
    first = found.first() if found.mass is None else found.first() * found.mass
    total = first.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(total > 0, first @ weights / total, np.nan))


def _confidence(values: PartialValues, central: FloatArray) -> FloatArray:
    """Return how often each arm is first at its central weights, over the draws of the values."""
    confidence = np.full(len(values.arms), np.nan)
    if values.n_draws == 1:
        return confidence
    ever = np.flatnonzero(~np.isnan(central[:, 0]))
    k, n_arms, n = values.block.shape
    at_central = (central[ever] @ values.block.reshape(k, n_arms * n)).reshape(len(ever), n_arms, n)
    for arm, drawn in zip(ever, at_central, strict=True):
        own = drawn[arm].copy()
        drawn[arm] = -np.inf
        best = drawn.max(axis=0) if n_arms > 1 else drawn[arm]
        ties = np.abs(own - best) <= ROUNDING
        confidence[arm] = np.count_nonzero(own > best + ROUNDING) / n
        if ties.any():
            confidence[arm] += (1 / (1 + (drawn[:, ties] >= own[ties] - ROUNDING).sum(axis=0))).sum() / n
    return confidence


def _monte_carlo_error(found: Standings, ranks: FloatArray, n_model: int) -> FloatArray:
    """Return standard errors of rank acceptabilities; draws with the same values are a cluster."""
    n = found.better.shape[1]
    if n == n_model or n_model == 1:
        return np.asarray(np.sqrt(np.maximum(ranks * (1 - ranks), 0) / n))
    return np.asarray(found.clustered(n_model).std(axis=2, ddof=1) / np.sqrt(n_model))
