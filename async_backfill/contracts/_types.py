"""The type variables and the callable types of the contracts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
V_contra = TypeVar("V_contra", contravariant=True)
K_co = TypeVar("K_co", bound=Hashable, covariant=True)

Seconds: TypeAlias = float | timedelta
"""A duration as settings take it: a number of seconds, or a ``timedelta``."""

Clock: TypeAlias = Callable[[], float]
"""A monotonic clock: returns seconds that never go back; only differences mean anything."""

Spawn: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
"""Starts an async function without arguments as a task that the cache owns."""


class NeedsAsyncio:
    """Runs on asyncio, not on trio; a cache that has such a part says so when it is opened on trio.

    Declared by inheritance, also by a part of your own that uses a library of asyncio.
    """

    __slots__ = ()
