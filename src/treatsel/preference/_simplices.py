"""Convex polytopes as simplicial complexes that hyperplanes cut: exact volumes, centroids and draws.

A simplex with `p` vertices above a hyperplane and `q` below has, above the hyperplane, the faces of a product
of simplices of dimensions p - 1 and q. Its triangulation by monotone paths ("staircases") pulls the vertices
in their order, so that simplices which share a face triangulate it in the same way (De Loera, Rambau & Santos
2010, Triangulations, section 6.2; doi:10.1007/978-3-642-12971-1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray

IntArray = npt.NDArray[np.int64]
# Weights are at most 1 and normals have a largest coefficient of 1, so that this is a relative tolerance. A
# point that lies on several hyperplanes is known to about 1e-14.
ON_PLANE = 1e-11
MOST_SIMPLICES = 200_000  # more need seconds, and gigabytes


class TooManySimplicesError(Exception):
    """The triangulation would have more than `MOST_SIMPLICES` simplices."""


@dataclass(frozen=True)
class Complex:
    """A triangulated polytope of weights.

    Attributes
    ----------
    points : ndarray of shape (n_points, n_criteria)
        Weights, each row with the sum 1.
    simplices : ndarray of shape (n_simplices, dimension + 1)
        Rows of `points` that span each simplex, in ascending order; no simplices: an empty polytope.
    """

    points: FloatArray
    simplices: IntArray

    @property
    def dimension(self) -> int:
        """Dimension of the polytope; -1 if it is empty."""
        return self.simplices.shape[1] - 1 if len(self.simplices) else -1

    def volumes(self) -> FloatArray:
        """Return the volume of each simplex.

        If the polytope has as many dimensions as the simplex of all weights, these are shares of it;
        otherwise they are right up to a common factor.
        """
        corners = self.points[self.simplices]
        if corners.shape[1] == corners.shape[2]:  # a determinant of weights that sum to 1 is the share
            return np.asarray(np.abs(np.linalg.det(corners)))
        return np.asarray(np.prod(np.linalg.svd(corners, compute_uv=False), axis=1))

    def centroids(self) -> FloatArray:
        """Return the centroid of each simplex."""
        return np.asarray(self.points[self.simplices].mean(axis=1))


def whole_simplex(n_criteria: int) -> Complex:
    """Return all weights of `n_criteria` criteria: one simplex."""
    return Complex(np.eye(n_criteria), np.arange(n_criteria, dtype=np.int64)[None])


def cut(whole: Complex, normal: FloatArray, bound: float, keep: Literal["below", "on", "both"]) -> Complex:
    """Cut a complex by the hyperplane normal @ w = bound, and return the part (or both parts) to keep.

    Where only a face of the polytope is left, the result has fewer dimensions.
    """
    scale = float(np.abs(normal).max()) or 1.0
    height = (bound - whole.points @ normal) / scale  # positive where normal @ w is below the bound
    signs = np.where(np.abs(height) <= ON_PLANE, 0, np.sign(height)).astype(np.int8)
    if not len(whole.simplices):
        return whole
    corner_signs = signs[whole.simplices]
    above, below = (corner_signs > 0).any(axis=1), (corner_signs < 0).any(axis=1)
    untouched = {
        "below": ~below & (above | ~above.any()),
        "on": ~above & ~below,
        "both": ~(above & below),
    }[keep]
    pieces = [whole.simplices[untouched]]
    if keep != "both":
        pieces += _faces_on_plane(whole.simplices, corner_signs)
    points = whole.points
    crossed = np.asarray(above & below)
    if crossed.any():
        points, parts = _split(whole, height, signs, crossed, keep)
        pieces += parts
    return _pruned(points, _largest(pieces, whole.simplices.shape[1]))


def _faces_on_plane(simplices: IntArray, signs: npt.NDArray[np.int8]) -> list[IntArray]:
    """Return the faces of simplices that lie on the hyperplane, in groups of the same size."""
    on = signs == 0
    sizes = on.sum(axis=1)
    most = int(sizes.max())
    if most == 0:
        return []
    return [simplices[sizes == most][on[sizes == most]].reshape(-1, most)]


def _split(
    whole: Complex,
    height: FloatArray,
    signs: npt.NDArray[np.int8],
    crossed: npt.NDArray[np.bool_],
    keep: str,
) -> tuple[FloatArray, list[IntArray]]:
    """Return all points, with the new ones on crossed edges, and the simplices of the parts to keep."""
    n = len(whole.points)
    groups = list(_by_sides(whole.simplices[crossed], signs))
    total = sum(len(up) * _n_parts(up.shape[1], down.shape[1], keep) for up, down, _ in groups)
    if total > MOST_SIMPLICES:
        raise TooManySimplicesError
    codes = [up[:, :, None] * n + down[:, None, :] for up, down, _ in groups]
    edges, inverse = np.unique(np.concatenate([code.ravel() for code in codes]), return_inverse=True)
    first, second = edges // n, edges % n
    share = (height[first] / (height[first] - height[second]))[:, None]
    points = np.concatenate([whole.points, whole.points[first] * (1 - share) + whole.points[second] * share])
    parts, start = [], 0
    for (up, down, on), code in zip(groups, codes, strict=True):
        crossing = n + inverse[start : start + code.size].reshape(code.shape)
        start += code.size
        if keep == "on":
            parts.append(_staircases(crossing, on))
            continue
        parts.append(_staircases(np.concatenate([up[:, :, None], crossing], axis=2), on))
        if keep == "both":
            turned = crossing.transpose(0, 2, 1)
            parts.append(_staircases(np.concatenate([down[:, :, None], turned], axis=2), on))
    return points, parts


def _by_sides(
    simplices: IntArray, signs: npt.NDArray[np.int8]
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield vertices above, below and on the hyperplane, for simplices with the same numbers of them."""
    side = signs[simplices]
    order = np.argsort(np.choose(side + 1, [1, 2, 0]), axis=1, kind="stable")  # above, below, on
    ordered = np.take_along_axis(simplices, order, axis=1)
    n_up, n_down = (side > 0).sum(axis=1), (side < 0).sum(axis=1)
    size = simplices.shape[1]
    for code in np.unique(n_up * size + n_down):
        p, q = divmod(int(code), size)
        rows = ordered[(n_up == p) & (n_down == q)]
        yield rows[:, :p], rows[:, p : p + q], rows[:, p + q :]


def _n_parts(p: int, q: int, keep: str) -> int:
    """Return the number of simplices into which one simplex is cut."""
    if keep == "on":
        return comb(p + q - 2, p - 1)
    return comb(p + q - 1, q) + (comb(p + q - 1, p) if keep == "both" else 0)


def _staircases(grid: IntArray, on: IntArray) -> IntArray:
    """Return the simplices of grids of points, shape (n, rows, columns), each joined with its points `on`."""
    n, n_rows, n_columns = grid.shape
    rows, columns = _paths(n_rows, n_columns)
    simplices = grid[:, rows, columns].reshape(n * len(rows), -1)
    return np.concatenate([simplices, np.repeat(on, len(rows), axis=0)], axis=1)


@lru_cache(maxsize=256)
def _paths(n_rows: int, n_columns: int) -> tuple[IntArray, IntArray]:
    """Return the monotone paths through a grid, as rows and columns of their points."""
    steps = n_rows + n_columns - 2
    rows = np.zeros((comb(steps, n_rows - 1), steps + 1), dtype=np.int64)
    for i, down in enumerate(combinations(range(1, steps + 1), n_rows - 1)):
        rows[i, list(down)] = 1
    rows = rows.cumsum(axis=1)
    return rows, np.arange(steps + 1) - rows


def _largest(pieces: list[IntArray], full_size: int) -> IntArray:
    """Return the simplices of the highest dimension, each once, with its points in ascending order."""
    pieces = [piece for piece in pieces if len(piece)]
    if not pieces:
        return np.empty((0, 1), dtype=np.int64)
    size = max(piece.shape[1] for piece in pieces)
    simplices = np.sort(np.concatenate([piece for piece in pieces if piece.shape[1] == size]), axis=1)
    return np.unique(simplices, axis=0) if size < full_size else simplices  # neighbors share their faces


def _pruned(points: FloatArray, simplices: IntArray) -> Complex:
    """Return a complex without the points that no simplex uses; the order of the others is kept."""
    used, inverse = np.unique(simplices, return_inverse=True)
    return Complex(points[used], inverse.reshape(simplices.shape).astype(np.int64))
