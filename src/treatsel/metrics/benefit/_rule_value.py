"""Value of the rule "treat if the predicted benefit is above 0" in a trial; public through `benefit`.

Complete randomization between the two arms is assumed, with the same probabilities for all patients. With
known, unequal probabilities, or with routine data, use `policy_value` or `policy_value_aipw`.
"""

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_choice, exceeds
from treatsel._stats.estimate import Estimate
from treatsel._stats.intervals import two_sided_p, wald
from treatsel.metrics.benefit._arm_pair import ArmPair, check_pair


def population_average_value(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Outcome rate if exactly the patients with a predicted benefit above 0 were treated (PAV).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out. Assigned by complete randomization.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        A proportion (the estimate may exceed 1 by chance); higher is better. Wald interval. No interval with
        fewer than two patients in an arm.

    Raises
    ------
    InputError
        If lengths differ, or an arm has no column or no patient.

    References
    ----------
    Imai & Li (2023), Journal of the American Statistical Association 118, 242-256.
    doi:10.1080/01621459.2021.1923511

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4, 0.6, 0.2], "SSRI": [0.3, 0.6, 0.5, 0.7]})
    >>> arm = ["CBT", "SSRI", "CBT", "SSRI"]
    >>> population_average_value([1, 0, 1, 1], arm, by_arm, control="CBT", treated="SSRI").value
    1.5
    """
    pair = check_pair(
        y_true, received, by_arm, control=control, treated=treated, sample_weight=sample_weight, level=level
    )
    # With n1 treated (T = 1), n0 controls (T = 0), outcome Y and rule f = 1(predicted benefit > 0):
    #     PAV = sum(Y T f) / n1 + sum(Y (1 - T) (1 - f)) / n0
    # Its variance is s1^2 / n1 + s0^2 / n0, with s_t^2 the variance of 1(f = t) Y in arm t (Imai & Li 2023)
    agrees = _rule(pair) == pair.treated
    value = sum(_mean(pair, arm, agrees * pair.outcome) for arm in (True, False))
    variance = sum(_squared_error(pair, arm, agrees * pair.outcome) for arm in (True, False))
    return _estimate(pair, value, float(np.sqrt(variance)))


def population_average_prescriptive_effect(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    centered: bool = True,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Gain from treating by predicted benefit over treating as many patients at random (PAPE).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out. Assigned by complete randomization.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms.
    centered : bool, default True
        Subtract the mean outcome first, which makes the estimate more precise.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Difference of proportions; above 0, the rule is better than treating as many patients at random.
        `p_value` is for no difference. No interval with fewer than two patients in an arm.

    Raises
    ------
    InputError
        If lengths differ, or an arm has no column or no patient.

    References
    ----------
    Imai & Li (2023), Journal of the American Statistical Association 118, 242-256.
    doi:10.1080/01621459.2021.1923511

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4, 0.6, 0.2], "SSRI": [0.3, 0.6, 0.5, 0.7]})
    >>> arm = ["CBT", "SSRI", "CBT", "SSRI"]
    >>> found = population_average_prescriptive_effect(
    ...     [1, 0, 1, 1], arm, by_arm, control="CBT", treated="SSRI"
    ... )
    >>> round(found.value, 6)
    0.0
    """
    pair = check_pair(
        y_true, received, by_arm, control=control, treated=treated, sample_weight=sample_weight, level=level
    )
    # With p = sum(f) / n, the share that the rule treats, and n1, n0, T, Y and f as in the value of the rule:
    #     PAPE = n / (n - 1) [sum(Y T f) / n1 + sum(Y (1 - T) (1 - f)) / n0
    #                         - p sum(Y T) / n1 - (1 - p) sum(Y (1 - T)) / n0]   (Imai & Li 2023)
    n, rule = float(pair.weight.sum()), _rule(pair).astype(float)
    outcome = pair.outcome - centered * (pair.weight @ pair.outcome) / n
    share = float(pair.weight @ rule / n)
    followed = np.where(pair.treated, rule - share, share - rule) * outcome
    scale = n / (n - 1)
    value = scale * sum(_mean(pair, arm, followed) for arm in (True, False))
    average = _mean(pair, True, outcome) - _mean(pair, False, outcome)
    spread = value**2 + 2 * (n - 1) * value * average * (2 * share - 1) - (1 - share) * share * n * average**2
    variance = sum(_squared_error(pair, arm, followed) for arm in (True, False)) + spread / n**2
    se = float(scale * np.sqrt(np.maximum(variance, 0)))
    return _estimate(pair, value, se, p_value=two_sided_p(value, se))


def population_benefit(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    over: Literal["control", "treated"] = "control",
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Outcome rate of the patients whose arm agreed with the rule minus that of one whole arm.

    The rule treats if the predicted benefit is above 0. Randomization 1:1 is assumed: only then are the
    patients whose arm agreed comparable with all patients. `gain_over_best_arm` has no such condition.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out. Randomized 1:1.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, columns named by arm.
    control, treated : label
        The two arms.
    over : {"control", "treated"}, default "control"
        The arm that all patients would get otherwise.
    sample_weight : array-like of shape (n_patients,), optional
        Counts: a weight of 2 is the same row twice.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Difference of proportions; above 0, the rule is better. Wald interval that allows for the patients
        in both groups. NaN if no patient's arm agreed with the rule.

    Raises
    ------
    InputError
        If lengths differ, an arm has no column or no patient, or an option is unknown.

    References
    ----------
    Efthimiou et al. (2023), Statistics in Medicine 42(8), 1188-1206. doi:10.1002/sim.9665

    Examples
    --------
    >>> by_arm = pd.DataFrame({"CBT": [0.5, 0.4, 0.6, 0.2], "SSRI": [0.3, 0.6, 0.7, 0.1]})
    >>> arm = ["CBT", "SSRI", "CBT", "SSRI"]
    >>> population_benefit([1, 1, 0, 1], arm, by_arm, control="CBT", treated="SSRI").value
    0.5
    """
    check_choice("over", over, ["control", "treated"])
    pair = check_pair(
        y_true, received, by_arm, control=control, treated=treated, sample_weight=sample_weight, level=level
    )
    # sum(Y over patients with T = f) / (number with T = f) - sum(Y of the arm) / (size of the arm)
    # (Efthimiou et al. 2023); the patients of a cell of T and f have one weight in this difference
    rule, whole = _rule(pair), pair.treated == (over == "treated")
    agrees = rule == pair.treated
    n_agree, n_whole = float(pair.weight @ agrees), float(pair.weight @ whole)
    if not n_agree:
        nan = float("nan")
        return _estimate(pair, nan, nan, method="not estimable: no patient's arm agreed with the rule")
    share = agrees / n_agree - whole / n_whole
    value, variance = float((pair.weight * share) @ pair.outcome), 0.0
    for arm in (True, False):
        for advised in (True, False):
            cell = (pair.treated == arm) & (rule == advised)
            if cell.any() and share[cell][0] != 0:
                weights = pair.units.weights.subset(cell)
                error = weights.standard_error(pair.outcome[cell])
                variance += float((error * share[cell][0] * weights.values.sum()) ** 2)
    return _estimate(pair, value, float(np.sqrt(variance)))


def _rule(pair: ArmPair) -> npt.NDArray[np.bool_]:
    return np.asarray(exceeds(pair.p_treated, pair.p_control))


def _mean(pair: ArmPair, arm: bool, values: FloatArray) -> float:
    mine = pair.treated == arm
    return float(pair.weight[mine] @ values[mine] / pair.weight[mine].sum())


def _squared_error(pair: ArmPair, arm: bool, values: FloatArray) -> float:
    mine = pair.treated == arm
    return pair.units.weights.subset(mine).standard_error(values[mine]) ** 2


def _estimate(pair: ArmPair, value: float, se: float, *, method: str = "", **fields: Any) -> Estimate:
    limits = wald(value, se, pair.units.level)
    usual = "Wald" if np.isfinite(se) else "no interval: it needs at least two patients in each group"
    return Estimate(
        value=value,
        lower=limits.lower,
        upper=limits.upper,
        method=method or usual,
        se=se,
        **pair.counts(),
        **fields,
    )
