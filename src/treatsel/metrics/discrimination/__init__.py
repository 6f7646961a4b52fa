"""Discrimination: how well a score separates patients with and without the outcome."""

from treatsel.metrics.discrimination._auc import roc_auc, roc_auc_difference
from treatsel.metrics.discrimination._average_precision import average_precision
from treatsel.metrics.discrimination._balanced_accuracy import BalancedAccuracy, balanced_accuracy
from treatsel.metrics.discrimination._delong import place as place
from treatsel.metrics.discrimination._model_based_concordance import model_based_concordance
from treatsel.metrics.discrimination._within_arm_auc import within_arm_auc

__all__ = [
    "BalancedAccuracy",
    "average_precision",
    "balanced_accuracy",
    "model_based_concordance",
    "roc_auc",
    "roc_auc_difference",
    "within_arm_auc",
]
