"""Gain over the best of several arms: simulated bias of its estimates, and the smallest gain to be detected.

The best arm is not known, and the data that estimate a gain also suggest the arm. Its estimates are therefore
simulated, with the means and the covariance of the gains over the single arms.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._stats.clustered_means import Mean

FOLDS = 10  # in which the arms of the cross-fitted gain are chosen: from nine tenths of the patients
PARTITIONS = (
    10  # into folds, over which the cross-fitted gain is averaged: it then hardly depends on the seed
)
# The standard error of a simulated bias is then 1 / 63 of the standard deviation of the estimate: with 300
# patients and six arms, .05 percentage points.
N_SIMULATIONS = 4000
POWER = 0.8  # customary, as in `gain_sample_size`
SMALLEST, CROSS_FITTED = "smallest gain over the single arms", "cross-fitted gain"
AS_ESTIMATED, EQUAL = "estimated", "equal"


def covariance_of(gains: Sequence[Mean], differences: FloatArray) -> FloatArray:
    """Return the covariance of the gains, from their standard errors and those of their differences.

    Cov(a, b) = (Var a + Var b - Var(a - b)) / 2, so that it has the clusters, weights and corrections of the
    standard errors.
    """
    own = np.square([mean.se for mean in gains])
    return np.asarray((own[:, None] + own - np.square(differences)) / 2)


def simulated_errors(covariance: FloatArray, shares: FloatArray, random_state: int | None) -> FloatArray:
    """Return draws of the errors of the gains in each fold, shape (n_simulations, n_folds, n_arms).

    `shares` are the shares of the folds in the weight of all patients.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))  # a corrected covariance may be slightly indefinite
    normal = np.random.default_rng(random_state).normal(size=(N_SIMULATIONS, len(shares), len(covariance)))
    return np.asarray(normal @ root.T / np.sqrt(shares)[:, None])


def chosen_arms(gains: FloatArray, shares: FloatArray) -> npt.NDArray[np.intp]:
    """Return for each fold the arm over which the gain is smallest in the other folds (the last axis)."""
    weighted = gains * shares[:, None]
    others = weighted.sum(axis=-2, keepdims=True) - weighted
    return np.asarray(others.argmin(axis=-1), dtype=np.intp)


def simulated_bias(gains: FloatArray, errors: FloatArray, shares: FloatArray) -> pd.DataFrame:
    """Return the bias of the smallest and of the cross-fitted gain, if arms are as estimated, or equal."""
    rows = []
    for arms_are, true in ((AS_ESTIMATED, gains), (EQUAL, np.zeros_like(gains))):
        drawn = true + errors
        found = {SMALLEST: (shares @ drawn).min(axis=-1)}
        if len(shares) > 1:
            arm = chosen_arms(drawn, shares)[..., None]
            found[CROSS_FITTED] = np.take_along_axis(drawn, arm, axis=-1)[..., 0] @ shares
        rows += [
            {
                "figure": figure,
                "arms_are": arms_are,
                "bias": values.mean() - true.min(),
                "error": values.std(ddof=1) / np.sqrt(len(values)),
            }
            for figure, values in found.items()
        ]
    return pd.DataFrame(rows).sort_values("figure", ascending=False, kind="stable", ignore_index=True)


def detectable_gain(gains: Sequence[Mean], errors: FloatArray, shares: FloatArray) -> float:
    """Return the gain over the best arm for which the lower limit exceeds 0 with probability `POWER`.

    The lower limit is the smallest of the lower limits over all arms. With one arm, or one that is far better
    than the others, this is (z_level + z_power) times its standard error. NaN if one arm is recommended to
    all patients: over this arm there cannot be a gain.
    """
    values, half = np.array([(mean.value, mean.value - mean.limits.lower) for mean in gains]).T
    if not (half > 0).all():
        return float("nan")
    excess = (shares @ errors + values - values.min() - half).min(axis=-1)
    return float(-np.quantile(excess, 1 - POWER))
