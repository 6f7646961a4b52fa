"""Shares of the sources of uncertainty in the posterior variance of a difference."""

from collections.abc import Mapping
from itertools import combinations
from math import factorial

import numpy as np

from treatsel._checks import ROUNDING, FloatArray


def variance_shares(difference: FloatArray, contributions: Mapping[str, FloatArray]) -> dict[str, float]:
    """Return the share of each source in the variance of a difference: at least 0, sum 1.

    The value of a set of sources is the variance of the expected difference given their contributions, by
    the law of total variance; it is estimated by linear regression of the draws on the contributions. The
    share of a source is its Shapley value: the mean, over all orders, of what it adds to the variance that
    the sources before it explain. It is never negative, also if sources are correlated, because more sources
    never explain less. What a linear function of the contributions does not explain is left out.

    Parameters
    ----------
    difference : ndarray of shape (n_draws,)
        Draws of the difference.
    contributions : mapping of str to ndarray of shape (n_draws, n_parts)
        Draws of what each source contributes to it.

    Returns
    -------
    dict of str to float
        By source, in the order of `contributions`; empty if the difference does not vary.

    References
    ----------
    Owen (2014), SIAM/ASA J Uncertainty Quantification 2, 245-251. doi:10.1137/130936233
    Groemping (2007), The American Statistician 61(2), 139-147. doi:10.1198/000313007X188252 (regression)

    Examples
    --------
    >>> x, z = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])
    >>> shares = variance_shares(3 * x + z, {"x": x[:, None], "z": z[:, None]})
    >>> {name: round(share, 3) for name, share in shares.items()}
    {'x': 0.9, 'z': 0.1}
    """
    centered = {name: part - part.mean(axis=0) for name, part in contributions.items()}
    names = [name for name, part in centered.items() if _varies(part)]
    target = difference - difference.mean()
    if not names or not _varies(target):
        return {}
    shares = dict.fromkeys(contributions, 0.0)
    explained = {
        members: _explained(target, [centered[name] for name in members])
        for size in range(len(names) + 1)
        for members in combinations(names, size)
    }
    total = explained[tuple(names)]
    if not total > 0:  # no linear relation at all
        return {}
    for name in names:
        for members, before in explained.items():
            if name not in members:
                weight = factorial(len(members)) * factorial(len(names) - len(members) - 1)
                joined = tuple(each for each in names if each in members or each == name)
                # rounding may make a step slightly negative
                shares[name] += weight / factorial(len(names)) * max(explained[joined] - before, 0.0)
    whole = sum(shares.values())
    return {name: share / whole for name, share in shares.items()}


def _varies(centered: FloatArray) -> bool:
    """Whether deviations from a mean, in logits or probabilities, are more than rounding error."""
    return bool(np.abs(centered).max(initial=0.0) > ROUNDING)


def _explained(target: FloatArray, parts: list[FloatArray]) -> float:
    """Return the sum of squares of a vector that a linear function of the parts explains."""
    if not parts:
        return 0.0
    matrix = np.column_stack(parts)
    size = np.abs(matrix).max(axis=0)
    matrix = matrix[:, size > 0] / size[size > 0]  # in comparable units: rank does not depend on them
    return float(np.sum((matrix @ np.linalg.lstsq(matrix, target, rcond=1e-10)[0]) ** 2))
