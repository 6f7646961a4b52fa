"""Treatment selection in mental health: recommend an arm for each patient, and quantify the uncertainty."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from treatsel._version import __version__

if TYPE_CHECKING:
    from treatsel.allocation import allocate, match
    from treatsel.artifact import load_model, save_model
    from treatsel.codebook import Codebook
    from treatsel.cohort import Cohort
    from treatsel.errors import TreatselError
    from treatsel.explanation import explain
    from treatsel.instrument import Instrument
    from treatsel.modification import modifiers
    from treatsel.outcome import Outcome
    from treatsel.preference import Preferences
    from treatsel.questions import next_question
    from treatsel.recommendation import recommend
    from treatsel.selector import TreatmentSelector
    from treatsel.tree import policy_tree
    from treatsel.validation import validate

_HOME = {
    "Codebook": "codebook",
    "Cohort": "cohort",
    "Instrument": "instrument",
    "Outcome": "outcome",
    "Preferences": "preference",
    "TreatmentSelector": "selector",
    "TreatselError": "errors",
    "allocate": "allocation",
    "explain": "explanation",
    "load_model": "artifact",
    "match": "allocation",
    "modifiers": "modification",
    "next_question": "questions",
    "policy_tree": "tree",
    "recommend": "recommendation",
    "save_model": "artifact",
    "validate": "validation",
}

__all__ = [
    "Codebook",
    "Cohort",
    "Instrument",
    "Outcome",
    "Preferences",
    "TreatmentSelector",
    "TreatselError",
    "__version__",
    "allocate",
    "explain",
    "load_model",
    "match",
    "modifiers",
    "next_question",
    "policy_tree",
    "recommend",
    "save_model",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import treatsel` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'treatsel' has no attribute {name!r}")
    return getattr(import_module(f"treatsel.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
