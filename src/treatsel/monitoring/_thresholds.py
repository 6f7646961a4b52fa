"""Thresholds from which a difference is large enough for an alarm."""

from dataclasses import dataclass

import numpy as np

from treatsel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AlarmThresholds:
    """What is large enough to matter; a smaller difference never gives an alarm.

    Attributes
    ----------
    mean : float
        Standardised mean difference, or Cohen's w of categories: in SD of the development cohort.
    spread : float
        Ratio of standard deviations, or its inverse.
    share : float
        Difference of shares, for missing values.
    fault : float
        Share of patients with a value that no development patient could have: tolerated up to here.
    calibration : float
        Difference between observed and predicted proportion.
    slope : float
        Calibration slope, or its inverse.
    tolerance : float
        Error of a prediction that the running test of calibration does not count as wrong.

    References
    ----------
    Austin (2009), Statistics in Medicine 28(25), 3083-3107 (standardised difference of 0.1).
    doi:10.1002/sim.3697
    """

    mean: float = 0.10
    spread: float = 1.25
    share: float = 0.05
    fault: float = 0.01
    calibration: float = 0.05
    slope: float = 1.25
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        for name in ("mean", "share", "fault", "calibration", "tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"Size {name} is {getattr(self, name)}; it must be 0 or more and below 1.")
        for name in ("spread", "slope"):
            if not 1 <= getattr(self, name) < np.inf:
                raise InputError(f"Size {name} is {getattr(self, name)}; a ratio must be 1 or more.")
