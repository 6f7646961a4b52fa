"""Percentile bootstrap of several metrics on shared resamples."""
