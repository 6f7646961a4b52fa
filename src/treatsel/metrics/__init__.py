"""Metrics: outcomes and probabilities in, an estimate with its interval or a curve out."""

from treatsel.metrics._result import Estimate
from treatsel.metrics._units import MIN_CLUSTERS, enough_clusters
from treatsel.metrics.calibration import (
    CalibrationCurve,
    CalibrationErrors,
    CalibrationLine,
    calibration_curve,
    calibration_errors,
    calibration_groups,
    calibration_in_the_large,
    calibration_line,
    calibration_slope,
    observed_expected_ratio,
)
from treatsel.metrics.discrimination import roc_auc, roc_auc_difference, within_arm_auc
from treatsel.metrics.overall import brier_score, log_loss, nagelkerke_r2, scaled_brier_score
from treatsel.metrics.policy import (
    Gain,
    aipw_scores,
    arm_means,
    concordant_difference,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_received,
    policy_value,
    policy_value_aipw,
    received_propensity,
)

__all__ = [
    "MIN_CLUSTERS",
    "CalibrationCurve",
    "CalibrationErrors",
    "CalibrationLine",
    "Estimate",
    "Gain",
    "aipw_scores",
    "arm_means",
    "brier_score",
    "calibration_curve",
    "calibration_errors",
    "calibration_groups",
    "calibration_in_the_large",
    "calibration_line",
    "calibration_slope",
    "concordant_difference",
    "effective_sample_size",
    "enough_clusters",
    "gain_over_best_arm",
    "gain_over_received",
    "log_loss",
    "nagelkerke_r2",
    "observed_expected_ratio",
    "policy_value",
    "policy_value_aipw",
    "received_propensity",
    "roc_auc",
    "roc_auc_difference",
    "scaled_brier_score",
    "within_arm_auc",
]
