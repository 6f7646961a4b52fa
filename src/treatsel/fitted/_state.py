"""Read-only copies of mappings and arrays, for immutable models."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np


def frozen(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same attributes, mappings as views of copies that cannot be changed."""
    return {name: _frozen(value) for name, value in state.items()}


def thawed(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same attributes, views as dicts, which can be pickled."""
    return {name: _thawed(value) for name, value in state.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _frozen(each) for key, each in value.items()})
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return {key: _thawed(each) for key, each in value.items()}
    return value
