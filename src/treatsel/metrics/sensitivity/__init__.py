"""Unmeasured confounding: how strong it must be to explain away a contrast or a gain."""

from treatsel.metrics.sensitivity._e_value import EValue, e_value, e_value_of_difference
from treatsel.metrics.sensitivity._marginal_sensitivity import MarginalSensitivity, policy_sensitivity

__all__ = ["EValue", "MarginalSensitivity", "e_value", "e_value_of_difference", "policy_sensitivity"]
