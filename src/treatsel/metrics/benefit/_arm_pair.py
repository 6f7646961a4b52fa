"""The patients of two arms: checked once, with predicted benefits and doubly robust scores."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_binary, check_by_arm, check_probability
from treatsel._stats.by_arm_tables import check_propensities, check_received_probability
from treatsel._stats.clustered_means import Units, check_units
from treatsel._stats.vectors import check_labels, check_patients
from treatsel._stats.weights import covariance_of_sums
from treatsel.errors import InputError
from treatsel.metrics.policy import aipw_scores


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ArmPair:
    """Patients of positive weight who received one of two arms; benefit = p_treated - p_control.

    `rows`: their row positions in the input.
    """

    arms: tuple[Hashable, Hashable]  # control, treated
    outcome: FloatArray
    treated: npt.NDArray[np.bool_]
    p_control: FloatArray
    p_treated: FloatArray
    units: Units
    rows: npt.NDArray[np.intp]

    @property
    def weight(self) -> FloatArray:
        """Weight of each patient."""
        return self.units.weight

    @property
    def n(self) -> int:
        """Number of patients."""
        return self.units.n

    @property
    def n_events(self) -> int:
        """Number of patients with outcome 1."""
        return self.units.weights.count(self.outcome)

    @property
    def benefit(self) -> FloatArray:
        """Predicted benefit of each patient."""
        return self.p_treated - self.p_control

    def counts(self) -> dict[str, Any]:
        """Return n, n_events and level, as keyword arguments of `Estimate` and `not_estimable`."""
        return {"n": self.n, "n_events": self.n_events, "level": self.units.level}


def check_pair(
    y_true: Any,
    received: Any,
    by_arm: Any,
    *,
    control: Hashable,
    treated: Hashable,
    sample_weight: Any = None,
    weights_are: Any = "counts",
    clusters: Any = None,
    level: float = 0.95,
    **patients: Any,
) -> ArmPair:
    """Return the patients of the two arms; `patients` are further vectors or tables of the same patients."""
    table = check_by_arm("by_arm", by_arm)
    for name, arm in (("control", control), ("treated", treated)):
        if arm not in table.columns:
            raise InputError(f"{name} is {arm!r}; by_arm has the arms {[str(a) for a in table.columns]}.")
    if control == treated:
        raise InputError(f"control and treated are both {control!r}; give two different arms.")
    vectors = {"by_arm": by_arm, "y_true": y_true, "received": received, **patients}
    units = check_units(sample_weight, clusters, level, weights_are=weights_are, **vectors)
    outcome, labels = check_binary("y_true", y_true), check_labels("received", received)
    is_treated = np.asarray(labels == treated, dtype=bool)
    of_pair = is_treated | np.asarray(labels == control, dtype=bool)
    rows = np.flatnonzero(of_pair & (units.weight > 0))
    for arm, found in ((control, ~is_treated[rows]), (treated, is_treated[rows])):
        if not found.any():
            raise InputError(f"No patient received arm {arm!r}; a benefit needs patients of both arms.")
    return ArmPair(
        arms=(control, treated),
        outcome=outcome[rows],
        treated=is_treated[rows],
        p_control=table[control].to_numpy(dtype=float)[rows],
        p_treated=table[treated].to_numpy(dtype=float)[rows],
        units=units.subset(rows),
        rows=rows,
    )


def benefit_scores(pair: ArmPair, by_arm: Any, propensity: Any, *, model: bool = True) -> FloatArray:
    """Return one score per patient; the mean of the scores estimates the average benefit of the pair.

    Doubly robust scores or, without the outcome `model`, Horvitz-Thompson scores: y / e for the treated,
    -y / (1 - e) for the controls. Propensities are renormalized to the two arms.
    """
    arms = list(pair.arms)
    check_patients(by_arm=by_arm, propensity=propensity)
    assigned = _propensity_of_pair(pair, propensity, by_arm.columns)
    positions = pair.treated.astype(int)
    check_received_probability("propensity", assigned[np.arange(len(assigned)), positions])
    shares = assigned / assigned.sum(axis=1, keepdims=True)
    predicted = np.column_stack([pair.p_control, pair.p_treated]) * model
    received = np.array(arms, dtype=object)[positions]
    scores = aipw_scores(
        pair.outcome, received, pd.DataFrame(predicted, columns=arms), pd.DataFrame(shares, columns=arms)
    )
    return np.asarray(scores[arms[1]] - scores[arms[0]])


def _propensity_of_pair(pair: ArmPair, propensity: Any, arms: "pd.Index[Any]") -> FloatArray:
    """Return the probabilities of both arms (control, treated), one row per patient of the pair."""
    if isinstance(propensity, pd.DataFrame):
        return check_propensities(propensity, arms)[list(pair.arms)].to_numpy(dtype=float)[pair.rows]
    if len(arms) > 2:
        raise InputError(
            f"propensity is a vector, but by_arm has {len(arms)} arms: the benefit needs the probability of "
            "both of its arms. Give a DataFrame of patients by arms."
        )
    own = check_probability("propensity", propensity)[pair.rows]
    return np.where(pair.treated[:, None], np.column_stack([1 - own, own]), np.column_stack([own, 1 - own]))


def codes_or_none(codes: FloatArray | None) -> npt.NDArray[np.intp] | None:
    """Return cluster numbers 0, 1, ..., or None."""
    return None if codes is None else np.unique(codes, return_inverse=True)[1]


def robust_covariance(bread: FloatArray, residuals: FloatArray, units: Units) -> FloatArray:
    """Return the sandwich covariance of regression coefficients, or its cluster-robust form.

    `bread`: inverse of the (weighted) information; `residuals`: estimating functions, one row per patient.
    Finite-sample factors n / (n - k), and G / (G - 1) x (n - 1) / (n - k) with G clusters (Cameron & Miller
    2015, doi:10.3368/jhr.50.2.317). NaN with fewer than two clusters.
    """
    total, k = units.weight.sum(), residuals.shape[1]
    if total <= k:
        return np.full((k, k), np.nan)
    codes = units.weights.units(units.codes)
    if codes is None:
        meat = residuals.T @ (residuals * units.weight[:, None]) * total / (total - k)
        return np.asarray(bread @ meat @ bread)
    meat = covariance_of_sums(residuals * units.weight[:, None], codes) * (total - 1) / (total - k)
    return np.asarray(bread @ meat @ bread)


def check_bins(n_bins: int) -> None:
    """Raise `InputError` if a number of groups is not a whole number of at least 1."""
    if not isinstance(n_bins, int) or n_bins < 1:
        raise InputError(f"n_bins is {n_bins!r}; it must be a whole number of at least 1.")


def groups_of(values: FloatArray, weight: FloatArray, n_bins: int) -> np.ndarray:
    """Return groups (0, 1, ...) of similar values; equal values stay in one group.

    As in `calibration_groups`, a group ends where j / n_bins of the patients are reached.
    """
    position = np.unique(values, return_inverse=True)[1]
    reached = np.cumsum(np.bincount(position, weights=weight))
    wanted = np.arange(1, n_bins + 1) * reached[-1] / n_bins * (1 - 1e-12)
    return np.searchsorted(np.unique(np.searchsorted(reached, wanted)), position)
