"""Statistics that several packages share: intervals, resampling, fits, splines, clusters, checked vectors."""
