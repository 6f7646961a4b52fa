"""Hit-and-run: draws from a set of weights that is too large to be triangulated."""

from collections.abc import Sequence

import numpy as np

from treatsel._checks import FloatArray
from treatsel.errors import InputError

N_CHAINS = 200
_NARROW = 1e-9  # radius of the largest ball in a set below which it has no interior

Rows = Sequence[tuple[FloatArray, float, bool]]  # normal, bound, and whether it is an equality


def hit_and_run(rows: Rows, n_criteria: int, n: int, random: np.random.Generator) -> FloatArray:
    """Return n draws, uniform approximately on {A w <= b, w >= 0, sum w = 1}, shape (n, n_criteria).

    Parallel chains start at the center of the largest ball in the set. From each point a direction is drawn,
    and on its line the next point, uniform within the set. The first 20 d^2 steps of d dimensions are
    dropped, and of the later ones every d-th is kept.

    References
    ----------
    Smith (1984), Operations Research 32(6), 1296-1308. doi:10.1287/opre.32.6.1296
    van Valkenhoef, Tervonen & Postmus (2014), European Journal of Operational Research 239(3), 865-867.
    doi:10.1016/j.ejor.2014.06.036
    """
    level = np.array([np.ones(n_criteria), *(row for row, _, equal in rows if equal)])
    normals = np.array([*-np.eye(n_criteria), *(row for row, _, equal in rows if not equal)])
    bounds = np.array([0.0] * n_criteria + [bound for _, bound, equal in rows if not equal])
    targets = np.array([1.0, *(bound for _, bound, equal in rows if equal)])
    values, basis = np.linalg.svd(level)[1:]
    basis = basis[int((values > _NARROW).sum()) :]  # directions in which weights may move
    start = _center(normals, bounds, level, targets, basis)
    d, chains = len(basis), min(n, N_CHAINS)
    points, kept, drawn = np.tile(start, (chains, 1)), np.empty((n, n_criteria)), 0
    slopes = basis @ normals.T
    step = 0
    while drawn < n:
        direction = random.standard_normal((chains, d))
        points += _length(bounds - points @ normals.T, direction @ slopes, random) * (direction @ basis)
        step += 1
        if step > 20 * d * d and step % d == 0:
            last = min(chains, n - drawn)
            kept[drawn : drawn + last] = points[:last]
            drawn += last
    kept = np.maximum(kept, 0)  # binary rounding may leave the set by 1e-16
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _length(room: FloatArray, slope: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return how far each chain moves: uniform between the two ends of its line in the set."""
    room = np.maximum(room, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = room / slope
    high = np.where(slope > 0, reach, np.inf).min(axis=1)
    low = np.where(slope < 0, reach, -np.inf).max(axis=1)
    return np.asarray(low + random.random(len(room)) * (high - low))[:, None]


def _center(
    normals: FloatArray, bounds: FloatArray, level: FloatArray, targets: FloatArray, basis: FloatArray
) -> FloatArray:
    """Return the center of the largest ball in the set (Chebyshev center)."""
    from scipy.optimize import linprog

    radius = np.linalg.norm(normals @ basis.T, axis=1)
    k = normals.shape[1]
    found = linprog(
        np.array([*np.zeros(k), -1.0]),
        A_ub=np.column_stack([normals, radius]),
        b_ub=bounds,
        A_eq=np.column_stack([level, np.zeros(len(level))]),
        b_eq=targets,
    )
    if found.status != 0 or found.x[-1] < _NARROW:
        raise InputError(
            "The statements about weights leave no room in some direction, and the set is too complex for "
            "exact geometry. State equalities as ties or equal bounds, or leave out criteria."
        )
    return np.asarray(found.x[:-1])
