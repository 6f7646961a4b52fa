"""Modification: which covariates change the differences between arms, and which only predict prognosis."""

from treatsel.modification._dependence import Dependence
from treatsel.modification._modifiers import SMALLEST, modifiers
from treatsel.modification._result import Modification

__all__ = ["SMALLEST", "Dependence", "Modification", "modifiers"]
