"""C-for-benefit expected if the model's predictions are correct."""

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_by_arm
from treatsel._stats.clustered_means import check_units
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import check_patients
from treatsel.errors import InputError


def model_based_c_for_benefit(
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    truth: pd.DataFrame | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Estimate:
    """C-for-benefit expected if the predicted (or other given) probabilities are correct; no outcome is used.

    Outcomes under both arms are drawn independently for each patient. The value is the probability that, of
    two patients whose benefits (-1, 0 or 1) differ, the one with the larger predicted benefit has the larger
    benefit. It is the benchmark for an observed c-for-benefit in these patients: it is limited by the
    heterogeneity of benefit, not by the quality of the model.

    Parameters
    ----------
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms.
    truth : pandas.DataFrame of shape (n_patients, n_arms), optional
        Probabilities from which outcomes are drawn, for example from a model refitted to these patients. By
        default `by_arm`.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.

    Returns
    -------
    Estimate
        Proportion in [0, 1], without interval; equal predicted benefits count half. NaN if no two benefits
        can differ. `n` counts all patients, regardless of the arm received.

    Raises
    ------
    InputError
        If an arm has no column, a probability is outside [0, 1] or lengths differ.

    References
    ----------
    Hoogland et al. (2024), Statistics in Medicine 43(23), 4481-4498. doi:10.1002/sim.10186

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.2, 0.4, 0.5], "SSRI": [0.6, 0.5, 0.3]})
    >>> round(model_based_c_for_benefit(by_arm, control="CBT", treated="SSRI").value, 3)
    0.732
    """
    weight = check_units(sample_weight, None, 0.95, by_arm=by_arm).weight
    low, high = _columns("by_arm", by_arm, control, treated)
    p_low, p_high = (low, high)
    if truth is not None:
        check_patients(by_arm=by_arm, truth=truth)
        p_low, p_high = _columns("truth", truth, control, treated)
    chances = ((1 - p_high) * p_low, p_high * p_low + (1 - p_high) * (1 - p_low), p_high * (1 - p_low))
    place = np.unique(high - low, return_inverse=True)[1]
    right = possible = 0.0
    for i, less in enumerate(chances):
        for more in chances[i + 1 :]:
            share, total = _ordered_right(place, weight * less, weight * more)
            own = float(weight @ (less * more))  # a patient is not compared with itself
            right, possible = right + share - own / 2, possible + total - own
    n = round(float(weight.sum()))
    if possible <= 0:
        return not_estimable("no two benefits can differ", n=n, n_events=None, level=0.95)
    method = "no interval: computed from predictions alone"
    nan = float("nan")
    return Estimate(
        value=right / possible, lower=nan, upper=nan, n=n, n_events=None, level=0.95, method=method
    )


def _columns(name: str, table: pd.DataFrame, control: Hashable, treated: Hashable) -> list[FloatArray]:
    checked = check_by_arm(name, table)
    for arm in (control, treated):
        if arm not in checked.columns:
            raise InputError(f"{name} has no column {arm!r}; it has {[str(a) for a in checked.columns]}.")
    return [checked[arm].to_numpy(dtype=float) for arm in (control, treated)]


def _ordered_right(place: npt.NDArray[np.intp], less: FloatArray, more: FloatArray) -> tuple[float, float]:
    """Return the weight of pairs in which `more` ranks above `less` (ties count half), and of all pairs."""
    below, above = np.bincount(place, weights=less), np.bincount(place, weights=more)
    reached = np.cumsum(below) - below / 2
    return float(reached @ above), float(below.sum() * above.sum())
