"""Read-only copies of mappings and arrays, for immutable models."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from treatsel.additive import AdditiveModel, AssignmentModel, ScoreLevels, SiteEffects, Trees


def frozen(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same attributes, with read-only copies of mappings and arrays."""
    return {name: _frozen(value) for name, value in state.items()}


def thawed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same attributes, with read-only mappings converted to dicts, which can be pickled."""
    return {name: _thawed(value) for name, value in state.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(each) for key, each in value.items()})
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    if isinstance(value, AdditiveModel | AssignmentModel):
        _lock(value)
    return value


def _lock(part: Any) -> None:
    """Make the arrays of a model read-only in place: copies of draws and trees would double the memory."""
    for value in vars(part).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        elif isinstance(value, Trees | SiteEffects | ScoreLevels):
            _lock(value)


def _thawed(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return {key: _thawed(each) for key, each in value.items()}
    return value
