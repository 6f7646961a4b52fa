"""Convex polytopes of weights by their vertices: cuts by hyperplanes, triangulation, volume and centroid."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
# Weights are at most 1 and normals have a largest coefficient of 1, so that this is a relative tolerance. A
# vertex where several hyperplanes meet is known to about 1e-14.
ON_PLANE = 1e-11
MOST_VERTICES = 1_000  # a set of 6 weights, each between two bounds, has about 100
MOST_SIMPLICES = 50_000  # in a triangulation: it then takes a second


class TooComplexError(Exception):
    """A polytope with more vertices or simplices than can be handled."""


@dataclass(frozen=True)
class Polytope:
    """A polytope by its vertices.

    Attributes
    ----------
    points : ndarray of shape (n_vertices, n_criteria)
        Vertices: weights, each row with the sum 1.
    tight : ndarray of shape (n_vertices, n_constraints)
        Which constraints hold with equality at each vertex.
    dimension : int
        Dimension of the polytope; -1 if it is empty.
    """

    points: FloatArray
    tight: BoolArray
    dimension: int


@dataclass(frozen=True)
class Simplices:
    """A triangulation.

    Attributes
    ----------
    corners : ndarray of shape (n_simplices, dimension + 1, n_criteria)
        Corners of each simplex.
    volumes : ndarray of shape (n_simplices,)
        Volumes. With as many dimensions as the set of all weights, they are shares of it; otherwise they are
        right up to a common factor.
    """

    corners: FloatArray
    volumes: FloatArray

    @property
    def centroid(self) -> FloatArray:
        """Centroid of the polytope."""
        return np.asarray(self.volumes @ self.corners.mean(axis=1) / self.volumes.sum())


def all_weights(n_criteria: int) -> Polytope:
    """Return the set of all weights: a simplex whose vertices give one criterion all the weight."""
    return Polytope(np.eye(n_criteria), ~np.eye(n_criteria, dtype=bool), n_criteria - 1)


def single_point(weights: FloatArray) -> Polytope:
    """Return the set that holds the given weights alone."""
    return Polytope(weights[None], np.zeros((1, 0), dtype=bool), 0)


def cut(whole: Polytope, normal: FloatArray, bound: float) -> tuple[Polytope, Polytope, Polytope]:
    """Return the parts of a polytope where normal @ w is at most, at least and exactly the bound.

    Where a part is only a face of the polytope, it has fewer dimensions. New vertices lie on the edges that
    cross the hyperplane.

    References
    ----------
    Fukuda & Prodon (1996), Double description method revisited. doi:10.1007/3-540-61576-8_77
    """
    scale = float(np.abs(normal).max()) or 1.0
    height = (bound - whole.points @ normal) / scale
    on = np.abs(height) <= ON_PLANE
    low, high = ~on & (height > 0), ~on & (height < 0)
    if not low.any() or not high.any():
        face = whole if on.all() else _face(whole, on)
        return (whole if low.any() else face), (whole if high.any() else face), face
    points, tight = _crossings(whole, height, low, high)
    parts = []
    for side in (on | low, on | high, on):
        joined = np.concatenate([whole.tight[side], tight])
        at_plane = np.concatenate([on[side], np.ones(len(points), dtype=bool)])
        parts.append((np.concatenate([whole.points[side], points]), np.column_stack([joined, at_plane])))
    if max(len(part) for part, _ in parts) > MOST_VERTICES:
        raise TooComplexError
    below, above, middle = parts
    d = whole.dimension
    return Polytope(*below, d), Polytope(*above, d), Polytope(*middle, d - 1)


def _face(whole: Polytope, on: BoolArray) -> Polytope:
    """Return the face that some vertices span."""
    points = whole.points[on]
    dimension = int(np.linalg.matrix_rank(points, tol=1e-9)) - 1 if len(points) else -1
    return Polytope(points, whole.tight[on], dimension)


def _crossings(
    whole: Polytope, height: FloatArray, low: BoolArray, high: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """Return the points where edges cross the hyperplane, and the constraints that are tight there.

    Two vertices share an edge if no other vertex satisfies all constraints with equality that both do.
    """
    first, second = np.flatnonzero(low), np.flatnonzero(high)
    counts = whole.tight.astype(np.float32)
    shared = counts[first] @ counts[second].T
    i, j = np.nonzero(shared >= whole.dimension - 1)  # an edge lies on so many constraints, at least
    first, second = first[i], second[j]
    common = whole.tight[first] & whole.tight[second]
    edges = np.empty(len(common), dtype=bool)
    for start in range(0, len(common), 10_000):  # bounds the memory
        block = slice(start, start + 10_000)
        lacking = common[block].astype(np.float32) @ (1 - counts).T
        edges[block] = (lacking == 0).sum(axis=1) == 2
    first, second, common = first[edges], second[edges], common[edges]
    share = (height[first] / (height[first] - height[second]))[:, None]
    return whole.points[first] * (1 - share) + whole.points[second] * share, common


def triangulate(whole: Polytope) -> Simplices:
    """Return simplices that fill a polytope: a vertex is joined with all simplices of the faces opposite.

    References
    ----------
    Cohen & Hickey (1979), Journal of the ACM 26(3), 401-414. doi:10.1145/322139.322141
    """
    rows = _pulled(whole)
    corners = whole.points[rows]
    if corners.shape[1] == corners.shape[2]:  # a determinant of weights with the sum 1 is the share
        volumes = np.abs(np.linalg.det(corners))
    else:
        volumes = np.prod(np.linalg.svd(corners, compute_uv=False), axis=1)
    return Simplices(corners, np.asarray(volumes))


def _pulled(whole: Polytope) -> IntArray:
    """Return the vertices of each simplex of the triangulation, as rows of `points`.

    Sets of vertices are integers whose bits are vertices; faces that polytopes share are triangulated once.
    """
    n = len(whole.points)
    if n == whole.dimension + 1:
        return np.arange(n, dtype=np.int64)[None]
    bits = [1 << i for i in range(n)]
    tight = {sum(bits[i] for i in np.flatnonzero(column)) for column in whole.tight.T}
    known: dict[int, list[tuple[int, ...]]] = {}

    def simplices_of(face: int, sides: set[int], dimension: int) -> list[tuple[int, ...]]:
        if face in known:
            return known[face]
        if face.bit_count() == dimension + 1:
            found = [_positions(face)]
        else:
            apex = face & -face
            facets = _facets(face, sides, dimension)
            found = [
                (apex.bit_length() - 1, *simplex)
                for facet in facets
                if not facet & apex
                for simplex in simplices_of(facet, facets, dimension - 1)
            ]
        if len(found) > MOST_SIMPLICES:
            raise TooComplexError
        known[face] = found
        return found

    return np.array(simplices_of((1 << n) - 1, tight, whole.dimension), dtype=np.int64)


def _facets(face: int, sides: set[int], dimension: int) -> set[int]:
    """Return the facets of a face: its largest parts on the sides of the polytope."""
    parts = {part for side in sides if (part := face & side) != face and part.bit_count() >= dimension}
    return {part for part in parts if not any(part & other == part != other for other in parts)}


def _positions(face: int) -> tuple[int, ...]:
    found = []
    while face:
        lowest = face & -face
        found.append(lowest.bit_length() - 1)
        face ^= lowest
    return tuple(found)
