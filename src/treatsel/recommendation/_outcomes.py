"""`PatientOutcomes`: what a model knows of the outcomes of one patient, beside the recommendation."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from treatsel._checks import FloatArray
from treatsel._lazy import lazy
from treatsel._reporting.summary import Summarized, Summary
from treatsel.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PatientOutcomes(Summarized):
    """Predictions, draws, and recommendations at other weights for the patient of a recommendation.

    Everything is computed when it is first asked for, from what the recommendation was made from: a service
    that only recommends does not pay for it. It refers to the model and to the patient's values, so copies
    and pickles of a recommendation do not contain it.

    Attributes
    ----------
    event_is_good : mapping of str to bool or None
        Whether 1 is good, by outcome, the main one first; None: not stated, so that it has no weight.
    titles : mapping of str to str
        Titles of outcomes and covariates for readers.
    predict : callable
        Returns `Predictions` of all outcomes.
    draw : callable
        Takes the name of an outcome; returns draws of its probabilities, shape (n_draws, n_arms), or None.
    decide : callable
        Takes weights of outcomes; returns `Recommendations` with otherwise the same options.
    evidence : callable
        Takes names of outcomes; returns a mapping of arm to bool as in `recommend`.
    valuation : Valuation
        Criteria and weights with which the recommendation was made.
    at_new_service : callable or None
        Returns `Recommendations` with the same options for a service that the model does not know; None if
        the recommendation does not rest on the effect of a known service.
    """

    event_is_good: Mapping[str, bool | None]
    titles: Mapping[str, str]
    predict: Callable[[], Predictions] = field(repr=False)
    draw: Callable[[str], FloatArray | None] = field(repr=False)
    decide: Callable[[Mapping[str, float]], Any] = field(repr=False)
    evidence: Callable[[Collection[str]], Mapping[Any, bool]] = field(repr=False)
    valuation: Any = field(default=None, repr=False)
    at_new_service: Callable[[], Any] | None = field(default=None, repr=False)

    @lazy
    def predictions(self) -> Predictions:
        """Probabilities of all outcomes with intervals and warnings."""
        return self.predict()

    def to_frame(self) -> "pd.DataFrame":
        """Return the predictions: one row per outcome and arm."""
        return self.predictions.to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Return the predictions as plain lists and mappings."""
        return self.predictions.to_dict()

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave this out of copies and pickles, which would contain the model and the patient's values."""
        return _nothing, ()

    def _summary(self) -> Summary:
        names = [self.titles.get(name, name) for name in self.event_is_good]
        return Summary(
            title=type(self).__name__, facts=[("outcomes", ", ".join(names))], note="to_frame() shows them."
        )


def _nothing() -> None:
    """Take the place of outcomes in a copy."""
