"""Correlation of several outcomes of the same patients, for joint posterior draws."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, Encoding, additive_of
from treatsel.models import JointDraws
from treatsel.selector._fit import learns_score
from treatsel.selector._input import DevelopmentData

MOST_PATIENTS = 20_000  # bounds the time; the standard error of a correlation is then below .01
MOST_COLUMNS = 500  # of the matrix, those most strongly associated with any outcome: bounds the time


def joint_draws(data: DevelopmentData, estimator: Any) -> dict[str, JointDraws]:
    """Return the random numbers of the draws of each outcome; empty for a single outcome.

    They have the correlation of the residuals of the outcomes, and number the arms by size (then by outcomes
    and covariates), so that results do not depend on the labels of arms.
    """
    names = [str(name) for name in data.outcomes]
    if len(names) < 2:
        return {}
    rows = np.unique(np.linspace(0, len(data.clean) - 1, min(len(data.clean), MOST_PATIENTS)).astype(int))
    covariates, received = data.covariates.iloc[rows], data.received.iloc[rows]
    scored = data.scores if learns_score(estimator) else data.scores.iloc[:, :0]
    targets = np.column_stack(
        [target_of(data.outcomes[name].iloc[rows], _score_of(scored, name, rows)) for name in names]
    )
    matrix = Encoding.of_cohort(covariates, np.ones(len(rows)), native_missing=False).encode(covariates)
    codes, arms = pd.factorize(received)
    by_arm = np.eye(len(arms))[codes]
    events = np.nan_to_num(targets).T @ by_arm
    sizes = by_arm.sum(axis=0)
    order = np.lexsort([matrix.sum(axis=1) @ by_arm, *events[::-1], sizes])  # the last key comes first
    correlation = shrunken_correlation(residuals_of(targets, matrix, by_arm))
    return dict(zip(names, JointDraws.of(correlation, [arms[k] for k in order]), strict=True))


def drawn_apart(model: Any) -> AdditiveModel | None:
    """Return a fitted model in additive form, whose draws are not joint with those of other outcomes.

    For models that were fitted after, or apart from, those of the other outcomes.
    """
    additive = additive_of(model)
    return additive and replace(additive, joint=False)


def _score_of(scores: pd.DataFrame, name: str, rows: np.ndarray) -> FloatArray | None:
    return scores[name].to_numpy(dtype=float)[rows] if name in scores else None


def target_of(y: pd.Series, score: FloatArray | None) -> FloatArray:
    """Return what a model learns of each patient, NaN if it is not known: ranks of the score, or the outcome.

    The score test of a cumulative logit model is that of mid-ranks (McCullagh 1980, J Royal Statistical
    Society B 42(2), 109-142). A patient whose outcome alone is known has the mean rank of that outcome.
    """
    values = y.to_numpy(dtype=float)
    if score is None:
        return values
    known = ~np.isnan(values) & ~np.isnan(score)
    found = np.full(len(values), np.nan)
    found[known] = rankdata(score[known]) / max(int(known.sum()), 1)
    for event in (0.0, 1.0):
        alike, own = (values == event) & ~known, (values == event) & known
        found[alike] = found[own].mean() if own.any() else event
    return found


def residuals_of(targets: FloatArray, matrix: FloatArray, by_arm: FloatArray) -> FloatArray:
    """Return residuals, shape (n_patients, n_outcomes), of ridge regressions on covariates and arm.

    NaN for an outcome that is not known. The penalty is the number of columns: a prior under which all of
    them together explain about half of the variance. A linear model suffices, since the correlation of the
    residuals depends little on small errors of the mean.
    """
    spread = matrix.std(axis=0)
    used = np.flatnonzero(spread > 0)
    columns = (matrix[:, used] - matrix[:, used].mean(axis=0)) / spread[used]
    if columns.shape[1] > MOST_COLUMNS:
        filled = np.nan_to_num(targets - np.nanmean(targets, axis=0))
        strength = np.abs(columns.T @ (filled / np.linalg.norm(filled, axis=0))).max(axis=1)
        columns = columns[:, np.argsort(-strength, kind="stable")[:MOST_COLUMNS]]
    design = np.column_stack([by_arm, columns])
    penalty = np.append(np.full(by_arm.shape[1], 1e-6), np.full(columns.shape[1], float(columns.shape[1])))
    found = np.full(targets.shape, np.nan)
    for j, target in enumerate(targets.T):
        seen = ~np.isnan(target)
        own = design[seen]
        terms = np.linalg.solve(own.T @ own + np.diag(penalty), own.T @ target[seen])
        found[seen, j] = target[seen] - own @ terms
    return found


def shrunken_correlation(residuals: FloatArray) -> FloatArray:
    """Return the correlation of the estimates that residuals of several outcomes imply, shrunken towards 0.

    Parameters
    ----------
    residuals : ndarray of shape (n_patients, n_outcomes)
        NaN if an outcome is not known.

    Returns
    -------
    ndarray of shape (n_outcomes, n_outcomes)
        Positive semidefinite. Patients with one known outcome add to the information about it, but not to
        the correlation. The intensity of the shrinkage is that of Schaefer & Strimmer: sum of the variances
        of the correlations, divided by the sum of their squares, at most 1.

    References
    ----------
    Schaefer & Strimmer (2005), Stat Appl Genet Mol Biol 4(1), 32. doi:10.2202/1544-6115.1175
    """
    known = (~np.isnan(residuals)).astype(float)
    filled = np.nan_to_num(residuals)
    size = np.linalg.norm(filled, axis=0)
    filled = filled / np.where(size > 0, size, 1.0)
    correlation = filled.T @ filled
    np.fill_diagonal(correlation, 1.0)
    pairs = known.T @ known
    n = np.maximum(np.diag(pairs), 1)
    share = pairs / np.sqrt(np.outer(n, n))  # of the information that patients with both outcomes have
    within = np.divide(correlation, share, out=np.zeros_like(share), where=share > 0)
    variance = share**2 * np.square(1 - np.clip(within, -1, 1) ** 2) / np.maximum(pairs - 1, 1)
    others = ~np.eye(len(n), dtype=bool)
    total = float(np.square(correlation[others]).sum())
    intensity = min(1.0, float(variance[others].sum()) / total) if total > 0 else 1.0
    return np.asarray(np.where(others, (1 - intensity) * correlation, 1.0))
