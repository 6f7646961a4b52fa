"""The one fitted model behind `TreatmentSelector.fit`, `load_model` and `serve.load_model`.

Only NumPy is imported here: a service reads a model file and predicts records without pandas or
scikit-learn. What works on tables imports pandas when it is called.
"""

from treatsel.fitted._development import DataCheck, Development
from treatsel.fitted._model import FittedModel

__all__ = ["DataCheck", "Development", "FittedModel"]
