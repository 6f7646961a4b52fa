"""The one rule for ties between arms, for arrays; recommendations and validation use the same."""

import numpy as np

from treatsel._checks import ROUNDING, FloatArray


def best_shares(
    values: FloatArray, comparator: int | np.ndarray | None, *, tolerance: float = ROUNDING
) -> FloatArray:
    """Return the share of each column in being the best of its row, shape (n_patients, n_arms).

    1 for the column of the highest value. Values within `tolerance` of it are tied: the comparator takes the
    tie; other columns share it, as under a fair draw, whatever their order. The comparator is a position,
    or one position per row (-1: none).
    """
    tied = values >= np.fmax.reduce(values, axis=1, keepdims=True) - tolerance
    shared = tied.sum(axis=1, keepdims=True)
    if comparator is not None and shared.max(initial=1) > 1:
        position = np.broadcast_to(np.asarray(comparator), len(values))
        takes = (position >= 0) & tied[np.arange(len(values)), position]
        tied[takes] = np.eye(values.shape[1], dtype=bool)[position[takes]]
        shared = tied.sum(axis=1, keepdims=True)
    return np.asarray(tied / shared)
