"""Thresholds from which a difference is large enough for an alarm."""

from dataclasses import dataclass

import numpy as np

from treatsel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AlarmThresholds:
    """Smallest differences that may give an alarm; smaller ones give none, whatever their p value.

    Attributes
    ----------
    standardized_difference : float
        Standardized mean difference, in SDs of the development cohort, or Cohen's w of the categories.
    sd_ratio : float
        Ratio of standard deviations, or its inverse.
    missing_difference : float
        Difference in the proportion of missing values.
    invalid_proportion : float
        Proportion of patients with a value that the codebook excluded from the development cohort.
    calibration_difference : float
        Difference between the observed and the predicted proportion.
    calibration_slope : float
        Calibration slope, or its inverse.
    sequential_tolerance : float
        Error of a predicted probability that the sequential test of calibration tolerates.

    References
    ----------
    Austin (2009), Statistics in Medicine 28(25), 3083-3107 (standardized difference of 0.1).
    doi:10.1002/sim.3697
    """

    standardized_difference: float = 0.10
    sd_ratio: float = 1.25
    missing_difference: float = 0.05
    invalid_proportion: float = 0.01
    calibration_difference: float = 0.05
    calibration_slope: float = 1.25
    sequential_tolerance: float = 0.02

    def __post_init__(self) -> None:
        for name in (
            "standardized_difference",
            "missing_difference",
            "invalid_proportion",
            "calibration_difference",
            "sequential_tolerance",
        ):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or more and below 1.")
        for name in ("sd_ratio", "calibration_slope"):
            if not 1 <= getattr(self, name) < np.inf:
                raise InputError(f"{name} is {getattr(self, name)}; a ratio must be finite and 1 or more.")
