"""Pages, number formats and plots for reports, independent of models and metrics."""
