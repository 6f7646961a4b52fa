"""The light door for a service: a model file in, a `ServedModel` out, without pandas or scikit-learn.

>>> from treatsel import serve
>>> model = serve.load_model("model.treatsel")  # doctest: +SKIP
>>> model.predict({"age": 31, "phq9_first": 17}).to_json()  # doctest: +SKIP
"""

from treatsel.artifact import load_served as load_model
from treatsel.serving import Attributions, ServedModel

__all__ = ["Attributions", "ServedModel", "load_model"]
