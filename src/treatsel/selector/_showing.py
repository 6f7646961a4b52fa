"""How a selector is shown in a notebook."""

from dataclasses import replace
from inspect import signature
from typing import Any

from sklearn import get_config
from sklearn.base import BaseEstimator

from treatsel._reporting.summary import Summary, to_html
from treatsel.fitted import FittedModel


class Shown(BaseEstimator):  # type: ignore[misc,unused-ignore] # scikit-learn ships no types
    """Adds a summary as text and HTML to an estimator with `model_`."""

    model_: FittedModel

    def _summary(self) -> Summary:
        changed = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if value is not None and value != signature(type(self)).parameters[name].default
        }
        options = ", ".join(f"{name}={' '.join(repr(value).split())[:60]}" for name, value in changed.items())
        facts = [("parameters", options or "defaults")]
        if not hasattr(self, "model_"):
            headline = "not fitted: call fit(cohort), or fit(X, y)"
            return Summary(title="TreatmentSelector", headline=headline, facts=facts)
        whole = self.model_._summary()
        return replace(
            whole,
            title="TreatmentSelector",
            headline=f"fitted; {whole.headline}",
            facts=[*whole.facts, *facts],
        )

    def _repr_html_(self) -> str:  # instead of scikit-learn's diagram, which has scripts
        return to_html(self._summary())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return text and HTML; text alone if scikit-learn is configured to display text."""
        html = {"text/html": self._repr_html_()} if get_config()["display"] == "diagram" else {}
        return {"text/plain": repr(self), **html}
