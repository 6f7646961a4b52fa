"""Brier score decomposition by isotonic regression (CORP); public through `treatsel.metrics.overall`."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import isotonic_regression

from treatsel._checks import FloatArray, check_level
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import NAN
from treatsel._stats.vectors import check_predicted
from treatsel.errors import InputError


@dataclass(frozen=True, kw_only=True, repr=False)
class BrierDecomposition(Summarized):
    """Brier score = miscalibration - discrimination + uncertainty.

    Attributes
    ----------
    brier : float
        Brier score of the predictions.
    miscalibration : float
        Reduction by the best monotone recalibration; 0 or more, lower is better.
    discrimination : float
        Reduction by the recalibrated predictions against the prevalence; 0 or more, higher is better.
    uncertainty : float
        Brier score of predicting the prevalence for all patients.
    expected_miscalibration, highest_miscalibration : float
        Mean and `level` quantile of the miscalibration due to chance at this n under perfect calibration;
        NaN without resamples.
    p_value : float
        Proportion of simulated miscalibrations at least as large as that observed: (k + 1) / (resamples + 1).
    n, n_events : int
        Number of patients, and of patients with outcome 1.
    level : float
        Quantile level of `highest_miscalibration`.
    method : str
        How the components were computed.
    """

    brier: float
    miscalibration: float
    discrimination: float
    uncertainty: float
    expected_miscalibration: float
    highest_miscalibration: float
    p_value: float
    n: int
    n_events: int
    level: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])


def brier_decomposition(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    n_resamples: int = 100,
    random_state: int = 0,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> BrierDecomposition:
    """Decomposition of the Brier score into miscalibration, discrimination and uncertainty (CORP).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1].
    n_resamples : int, default 100
        Number of sets of outcomes drawn from the predictions, to estimate the miscalibration expected by
        chance; 0 for none.
    random_state : int, default 0
        Seed of these draws.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice. Rounded to whole patients for the draws.
    level : float, default 0.95
        Quantile level of the miscalibration expected by chance.

    Returns
    -------
    BrierDecomposition
        Squared differences in [0, 1]. Isotonic regression also fits chance variation: compare
        `miscalibration` with `expected_miscalibration`.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1] or `n_resamples` is below 0.

    References
    ----------
    Dimitriadis, Gneiting & Jordan (2021), PNAS 118(8), e2016191118. doi:10.1073/pnas.2016191118

    Examples
    --------
    >>> parts = brier_decomposition([0, 1, 1, 0], [0.2, 0.7, 0.6, 0.7], n_resamples=0)
    >>> [round(x, 3) for x in (parts.miscalibration, parts.discrimination, parts.uncertainty, parts.brier)]
    [0.028, 0.083, 0.25, 0.195]
    """
    if n_resamples < 0:
        raise InputError(f"n_resamples is {n_resamples}; give 0 for none, or a positive whole number.")
    data, level = check_predicted(y_true, y_prob, sample_weight), check_level(level)
    levels, position = np.unique(data.score, return_inverse=True)
    mass = np.bincount(position, weights=data.weight).astype(float)
    share = np.bincount(position, weights=data.weight * data.outcome) / mass
    brier, uncertainty = data.mean((data.score - data.outcome) ** 2), data.prevalence * (1 - data.prevalence)
    miscalibration = _excess(levels, share, mass)
    chance = _by_chance(levels, mass, n_resamples, random_state)
    return BrierDecomposition(
        brier=brier,
        miscalibration=miscalibration,
        discrimination=max(uncertainty - brier + miscalibration, 0.0),
        uncertainty=uncertainty,
        expected_miscalibration=float(chance.mean()) if n_resamples else NAN,
        highest_miscalibration=float(np.quantile(chance, level)) if n_resamples else NAN,
        p_value=(1 + int((chance >= miscalibration).sum())) / (1 + n_resamples) if n_resamples else NAN,
        n=data.n,
        n_events=data.n_events,
        level=level,
        method="isotonic regression (CORP)",
    )


def _excess(levels: FloatArray, share: FloatArray, mass: FloatArray) -> float:
    """Return the Brier score of the predictions minus that of their isotonic recalibration.

    Within groups of tied predictions the variance of the outcomes is the same for both and cancels.
    """
    fitted = isotonic_regression(share, weights=mass).x
    return float(mass @ ((levels - share) ** 2 - (fitted - share) ** 2) / mass.sum())


def _by_chance(levels: FloatArray, mass: FloatArray, n_resamples: int, seed: int) -> FloatArray:
    random, whole = np.random.default_rng(seed), np.maximum(np.round(mass), 1)
    draws = (random.binomial(whole.astype(int), levels) / whole for _ in range(n_resamples))
    return np.array([_excess(levels, share, whole) for share in draws])
