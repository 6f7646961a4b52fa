"""The fitted model that `TreatmentSelector.fit`, `load_model` and `serve.load_model` have in common.

Only NumPy is imported here: a service reads a model file and predicts records without pandas or
scikit-learn. Functions for tables import pandas when they are called.
"""

from treatsel.fitted._development import DataCheck, Development
from treatsel.fitted._model import FittedModel

__all__ = ["DataCheck", "Development", "FittedModel"]
