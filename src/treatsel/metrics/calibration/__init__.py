"""Calibration: whether 30 % means that 30 of 100 such patients have the outcome.

Where a logit is taken, predictions beyond 1e-8 and 1 - 1e-8 are moved there, with a `TreatselWarning`
that counts them.
"""

from treatsel.metrics.calibration._curve import CalibrationCurve, calibration_curve, calibration_groups
from treatsel.metrics.calibration._hosmer_lemeshow import HosmerLemeshow, hosmer_lemeshow
from treatsel.metrics.calibration._ici import CalibrationErrors, calibration_errors
from treatsel.metrics.calibration._in_the_large import calibration_in_the_large
from treatsel.metrics.calibration._observed_expected import observed_expected_ratio
from treatsel.metrics.calibration._slope import CalibrationLine, calibration_line, calibration_slope
from treatsel.metrics.calibration._weak_calibration_test import CalibrationTest, ChiSquare, calibration_test

__all__ = [
    "CalibrationCurve",
    "CalibrationErrors",
    "CalibrationLine",
    "CalibrationTest",
    "ChiSquare",
    "HosmerLemeshow",
    "calibration_curve",
    "calibration_errors",
    "calibration_groups",
    "calibration_in_the_large",
    "calibration_line",
    "calibration_slope",
    "calibration_test",
    "hosmer_lemeshow",
    "observed_expected_ratio",
]
