"""Patient preferences: weights of criteria, what is known about them, and how arms rank under them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from treatsel.preference._outcome_weights import check_preferences, utility
from treatsel.preference._outcome_weights import outcome_weights as outcome_weights
from treatsel.preference._valuation import Valuation as Valuation

if TYPE_CHECKING:
    from treatsel.preference._acceptability import Acceptability
    from treatsel.preference._criterion import Criterion
    from treatsel.preference._dominance import Dominance, dominance
    from treatsel.preference._file import read_preferences
    from treatsel.preference._flips import Flips, flips, ranking_table
    from treatsel.preference._partial_values import PartialValues, partial_values
    from treatsel.preference._preferences import Preferences
    from treatsel.preference._side_effects import SideEffects
    from treatsel.preference._smaa import acceptability, smaa, smaa_of_draws
    from treatsel.preference._statements import Statement
    from treatsel.preference._weight_set import WeightSet

# A service needs the weighted sum alone: the rest is imported when it is first used.
_HOME = {
    "Acceptability": "_acceptability",
    "Criterion": "_criterion",
    "Dominance": "_dominance",
    "Flips": "_flips",
    "PartialValues": "_partial_values",
    "Preferences": "_preferences",
    "SideEffects": "_side_effects",
    "Statement": "_statements",
    "WeightSet": "_weight_set",
    "acceptability": "_smaa",
    "dominance": "_dominance",
    "flips": "_flips",
    "partial_values": "_partial_values",
    "read_preferences": "_file",
    "ranking_table": "_flips",
    "smaa": "_smaa",
    "smaa_of_draws": "_smaa",
}

__all__ = [
    "Acceptability",
    "Criterion",
    "Dominance",
    "Flips",
    "PartialValues",
    "Preferences",
    "SideEffects",
    "Statement",
    "WeightSet",
    "acceptability",
    "check_preferences",
    "dominance",
    "flips",
    "partial_values",
    "ranking_table",
    "read_preferences",
    "smaa",
    "smaa_of_draws",
    "utility",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'treatsel.preference' has no attribute {name!r}")
    return getattr(import_module(f"treatsel.preference.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
