"""Calibration: whether 30 % means that 30 of 100 such patients have the outcome.

Where a logit is taken, predictions beyond 1e-8 and 1 - 1e-8 are moved there, with a `TreatselWarning`
that counts them.
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
