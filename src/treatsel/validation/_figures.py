"""The rows of a validation report: measure, group, value, interval, n, events, method."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel.metrics import (
    CalibrationCurve,
    Estimate,
    brier_score,
    calibration_curve,
    calibration_in_the_large,
    calibration_slope,
    log_loss,
    observed_expected_ratio,
    roc_auc,
    scaled_brier_score,
    within_arm_auc,
)
from treatsel.validation._policy import Policies

MEASURES: dict[str, dict[str, Callable[..., Estimate]]] = {
    "discrimination": {"AUC": roc_auc},
    "calibration": {
        "calibration in the large": calibration_in_the_large,
        "calibration slope": calibration_slope,
        "observed / expected": observed_expected_ratio,
    },
    "overall": {
        "Brier score": brier_score,
        "scaled Brier score": scaled_brier_score,
        "log loss": log_loss,
    },
}


def accuracy_figures(
    y: FloatArray, predicted: FloatArray, received: pd.Series, *, level: float
) -> list[dict[str, Any]]:
    """Return discrimination, calibration and overall accuracy for the received arm, overall and by arm."""
    arms = received.to_numpy()
    within = within_arm_auc(y, predicted, arms, level=level)
    rows = [_row("base rate", "base rate", "overall", _base_rate(y, level))]
    rows.append(_row("discrimination", "within-arm AUC", "overall", within))
    groups = {"overall": np.ones(len(y), dtype=bool)}
    groups |= {str(arm): arms == arm for arm in sorted(received.unique(), key=str)}
    for section, measures in MEASURES.items():
        for measure, function in measures.items():
            for group, mask in groups.items():
                rows.append(_row(section, measure, group, function(y[mask], predicted[mask], level=level)))
    return rows


def policy_figures(policies: Policies) -> list[dict[str, Any]]:
    """Return the rate of the good outcome under each policy, and the gains."""
    rows = []
    for arm, row in policies.arms.iterrows():
        estimate = {"n": int(row["n"]), "n_events": None, "method": row["method"]}
        bounds = {key: float(row[key]) for key in ("value", "lower", "upper")}
        named = f"everybody gets {arm}"
        rows.append({"section": "policy", "measure": named, "group": "overall", **bounds, **estimate})
    rows.append(_row("policy", "recommended arm", "overall", policies.rule))
    rows.append(_row("policy", "recommended arm, weighted estimate", "overall", policies.rule_ipw))
    for measure, gain in (
        ("gain over the best single arm", policies.gain),
        ("gain over the received arm", policies.gain_over_practice),
    ):
        bounds = {key: float(getattr(gain, key)) for key in ("value", "lower", "upper")}
        about = {"n": gain.n, "n_events": None, "method": gain.method}
        rows.append({"section": "gain", "measure": measure, "group": "overall", **bounds, **about})
    return rows


def calibration_of(
    y: FloatArray, predicted: FloatArray, received: pd.Series | None, *, level: float
) -> CalibrationCurve:
    """Return the calibration curve, overall or by received arm."""
    arms = None if received is None else received.to_numpy()
    return calibration_curve(y, predicted, arm=arms, level=level)


def _base_rate(y: FloatArray, level: float) -> Estimate:
    from scipy.stats import binomtest

    result = binomtest(int(y.sum()), len(y))
    limits = result.proportion_ci(confidence_level=level, method="wilson")
    return Estimate(
        value=float(y.mean()),
        lower=float(limits.low),
        upper=float(limits.high),
        n=len(y),
        n_events=int(y.sum()),
        level=level,
        method="Wilson",
    )


def _row(section: str, measure: str, group: str, estimate: Estimate) -> dict[str, Any]:
    names = ("value", "lower", "upper", "n", "n_events", "method")
    values = {name: getattr(estimate, name) for name in names}
    return {"section": section, "measure": measure, "group": group, **values}
