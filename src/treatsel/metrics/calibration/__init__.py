"""Calibration: agreement between predicted probabilities and observed outcome proportions.

Where a logit is needed, predictions below 1e-8 or above 1 - 1e-8 are set to these limits, with a
`TreatselWarning` that gives their number.
"""

from treatsel.metrics.calibration._curve import CalibrationCurve, calibration_curve, calibration_groups
from treatsel.metrics.calibration._hosmer_lemeshow import HosmerLemeshow, hosmer_lemeshow
from treatsel.metrics.calibration._ici import CalibrationIndices, integrated_calibration_index
from treatsel.metrics.calibration._in_the_large import calibration_in_the_large
from treatsel.metrics.calibration._observed_expected import observed_expected_ratio
from treatsel.metrics.calibration._slope import RecalibrationFit, calibration_slope, logistic_recalibration
from treatsel.metrics.calibration._weak_calibration_test import (
    ChiSquare,
    WeakCalibrationTest,
    weak_calibration_test,
)

__all__ = [
    "CalibrationCurve",
    "CalibrationIndices",
    "ChiSquare",
    "HosmerLemeshow",
    "RecalibrationFit",
    "WeakCalibrationTest",
    "calibration_curve",
    "calibration_groups",
    "calibration_in_the_large",
    "calibration_slope",
    "hosmer_lemeshow",
    "integrated_calibration_index",
    "logistic_recalibration",
    "observed_expected_ratio",
    "weak_calibration_test",
]
