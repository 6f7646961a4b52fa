"""Base rate, discrimination, calibration and overall accuracy for the received arm, overall and by arm."""

from collections.abc import Callable
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.metrics import (
    Estimate,
    balanced_accuracy,
    brier_score,
    calibration_curve,
    calibration_in_the_large,
    calibration_slope,
    log_loss,
    nagelkerke_r2,
    observed_expected_ratio,
    prevalence,
    roc_auc,
    scaled_brier_score,
    within_arm_auc,
)
from treatsel.validation._part import FEWEST_EVENTS, OVERALL, Caution, Gravity, Part, row_of
from treatsel.validation._setting import Setting

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
        "Nagelkerke R2": nagelkerke_r2,
    },
}


def accuracy(setting: Setting) -> Part:
    """Return all closed-form figures, and the calibration curves."""
    y, own, arms, level = setting.observed, setting.own, setting.arms, setting.level
    halves = balanced_accuracy(y, own, groups=setting.clusters, level=level)
    commoner = y if y.mean() >= 0.5 else 1 - y
    rows = [
        row_of("base rate", "base rate", prevalence(y, level=level)),
        row_of(
            "base rate", "accuracy of the commoner outcome for everybody", prevalence(commoner, level=level)
        ),
        row_of("discrimination", "accuracy at 50 %", halves.accuracy),
        row_of("discrimination", "balanced accuracy at 50 %", halves.balanced_accuracy),
        row_of("discrimination", "within-arm AUC", within_arm_auc(y, own, arms, level=level)),
    ]
    groups = {OVERALL: np.ones(len(y), dtype=bool)}
    groups |= {str(arm): arms == arm for arm in sorted(set(arms), key=str)}
    for section, measures in MEASURES.items():
        for measure, function in measures.items():
            for group, mask in groups.items():
                rows.append(row_of(section, measure, function(y[mask], own[mask], level=level), group))
    curves = {
        "": calibration_curve(y, own, level=level),
        " by arm": calibration_curve(y, own, arm=arms, level=level),
    }
    tables: dict[str, Any] = {}
    for name, curve in curves.items():
        tables |= {
            f"calibration curve{name}": curve.table,
            f"calibration groups{name}": curve.groups,
            f"calibration fits{name}": curve.fits,
        }
    return Part(figures=rows, tables=tables, cautions=_few_events(y, arms))


def _few_events(y: FloatArray, arms: np.ndarray) -> list[Caution]:
    few = [
        str(arm)
        for arm in sorted(set(arms), key=str)
        if min(y[arms == arm].sum(), (1 - y[arms == arm]).sum()) < FEWEST_EVENTS
    ]
    if not few:
        return []
    text = f"Arms {few} have fewer than {FEWEST_EVENTS} events or non-events: their own figures say little."
    return [Caution(Gravity.PARTIAL, text)]
