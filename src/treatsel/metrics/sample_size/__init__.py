"""Sample size: patients needed to develop a model, to validate one, or to show the gain of a rule.

All numbers are computed without simulation, so that the same input gives the same result.
"""

from treatsel.metrics.sample_size._development import development_sample_size
from treatsel.metrics.sample_size._gain import gain_sample_size
from treatsel.metrics.sample_size._linear_predictor import LinearPredictorDistribution
from treatsel.metrics.sample_size._result import Criterion, SampleSize
from treatsel.metrics.sample_size._validation import validation_sample_size

__all__ = [
    "Criterion",
    "LinearPredictorDistribution",
    "SampleSize",
    "development_sample_size",
    "gain_sample_size",
    "validation_sample_size",
]
