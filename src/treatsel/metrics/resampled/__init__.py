"""Percentile bootstrap of several metrics on shared resamples."""

from treatsel.metrics.resampled._percentile import Bootstrap, bootstrap

__all__ = ["Bootstrap", "bootstrap"]
