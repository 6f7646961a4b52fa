"""Lightweight entry point for services: load a model file without pandas or scikit-learn.

>>> from treatsel import serve
>>> model = serve.load_model("model.treatsel")  # doctest: +SKIP
>>> model.predict({"age": 31, "phq9_first": 17}).to_json()  # doctest: +SKIP
"""

from treatsel.artifact import load_fitted as load_model
from treatsel.fitted import FittedModel

__all__ = ["FittedModel", "load_model"]
