"""What posterior draws say about a modification: that it exists, that it matters, and its rank."""

import numpy as np
from scipy.stats import chi2, rankdata

from treatsel._checks import FloatArray

# Share of the mean square of the contributions that the examined directions hold. The rest are many
# directions of little size, such as those of trees with a small weight; they would add nothing but degrees of
# freedom.
SHARE_KEPT = 0.95
EQUAL = 1e-9  # modifications that differ by less are tied

FINDINGS = ("modifies", "uncertain", "negligible")


def contour_probability(draws: FloatArray) -> float:
    """Return the posterior probability of values that are less plausible than no contribution at all.

    The smallest 1 - c for which the elliptical region of highest posterior density with the content c leaves
    out 0. With a flat prior it equals the p value of the Wald test; shrinkage makes it larger. It takes the
    number of arms and levels into account, unlike the size of the draws, which is above 0 by noise alone.

    Parameters
    ----------
    draws : ndarray of shape (..., n_draws)
        Contributions.

    References
    ----------
    Box & Tiao (1973), Bayesian Inference in Statistical Analysis, section 2.8.
    Held (2004), Journal of Computational and Graphical Statistics 13(1), 20-35.
    """
    flat = draws.reshape(-1, draws.shape[-1])
    n_draws = flat.shape[1]
    if not len(flat):
        return 1.0
    square, axes = np.linalg.eigh(flat @ flat.T / n_draws)  # around 0: the mean counts as well
    square, axes = square[::-1], axes[:, ::-1]
    if square[0] <= EQUAL**2:
        return 1.0
    n_kept = 1 + int(np.searchsorted(np.cumsum(square) / square.sum(), SHARE_KEPT))
    along = axes[:, :n_kept].T @ flat
    mean = along.mean(axis=1, keepdims=True)
    precision = np.linalg.pinv(np.atleast_2d(np.cov(along)), hermitian=True)
    distance = np.einsum("it,ij,jt->t", along - mean, precision, along - mean, optimize=True)
    of_none = (mean.T @ precision @ mean).item()
    share = float((distance >= of_none).mean())
    # the share has no resolution below 1/n_draws, where the tail of the normal approximation takes over
    return max(share, float(chi2.sf(of_none, n_kept)))


def findings(p_relevant: FloatArray, p_none: FloatArray, level: float) -> list[str]:
    """Return, by covariate, whether it modifies, see `treatsel.modification.modifiers`."""
    return [
        FINDINGS[0]
        if relevant >= level and none <= 1 - level
        else FINDINGS[2]
        if relevant <= 1 - level
        else FINDINGS[1]
        for relevant, none in zip(p_relevant, p_none, strict=True)
    ]


def ranks_of(sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rank of each covariate in each draw, 1 for the largest, and the probability to be first.

    Ties have the mean of their ranks, and share the first place.

    Parameters
    ----------
    sizes : ndarray of shape (n_covariates, n_draws)
        Modification of each covariate.
    """
    rounded = np.round(sizes / EQUAL)
    ranks = rankdata(-rounded, axis=0)
    first = rounded == rounded.max(axis=0)
    return np.asarray(ranks), np.asarray((first / first.sum(axis=0)).mean(axis=1))
