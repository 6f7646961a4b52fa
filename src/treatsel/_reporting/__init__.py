"""Pages, number formats and plots for reports. Knows nothing of models or metrics."""
