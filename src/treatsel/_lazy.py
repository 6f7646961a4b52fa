"""Cached attributes without a lock.

In Python 3.11, `functools.cached_property` uses a lock shared by all instances: a process that is forked
while another thread holds the lock inherits it locked and waits forever. Without the lock, two threads may
both compute the same value.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property as lazy
else:

    class lazy:  # noqa: N801 # lower case, like property
        """A method as an attribute whose value is cached in the instance."""

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self.function, self.__doc__ = function, function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.function(instance)
            return value


__all__ = ["lazy"]
