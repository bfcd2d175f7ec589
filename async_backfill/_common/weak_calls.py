"""Calls of methods that do not keep their objects alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from weakref import WeakMethod

if TYPE_CHECKING:
    from collections.abc import Callable

A = TypeVar("A")


def weakly(method: Callable[[A], None]) -> Callable[[A], None]:
    """Return a function that calls the bound ``method`` as long as its object is there."""
    kept = WeakMethod(method)

    def call(argument: A) -> None:
        if (found := kept()) is not None:
            found(argument)

    return call
