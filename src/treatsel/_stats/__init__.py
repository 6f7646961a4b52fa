"""Statistics that several packages share: intervals, weights, clusters, resampling, fits and splines."""
