"""The monitoring report: its data, its wording, and its page."""

from treatsel.monitoring.report._report import MonitoringReport
from treatsel.monitoring.report._wording import FAMILIES

__all__ = [
    "FAMILIES",
    "MonitoringReport",
]
