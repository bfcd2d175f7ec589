"""What the caller of a cached function is told in place of an error of its cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._cached.raising import raised_by_function
from async_backfill._lookup.answering import CLOSED
from async_backfill.errors import CacheClosedError, KeyNotFoundError, LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from async_backfill._cached.call_key import Arguments

EXPLAINED: Final = (LoadError, CacheClosedError, TypeError)
"""The errors that `Explainer.better` may know more of."""


def name_of(function: Callable[..., object]) -> str:
    """Return the name of ``function`` as it is written where it is called, such as ``Shop.price``."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else repr(function)


class Explainer:
    """Words the errors of the cached function ``name``, whose arguments are ``arguments``.

    :param arguments: makes the keys; ``None`` when a function of the user's does.
    """

    def __init__(self, name: str, arguments: Arguments | None) -> None:
        self.name = name
        self._arguments = arguments

    def better(self, error: Exception, key: Hashable) -> Exception | None:
        """Return what to raise in place of ``error``, which the cache raised for ``key``; ``None`` for it."""
        if isinstance(error, LoadError):
            return raised_by_function(error)
        if isinstance(error, CacheClosedError):
            return self.not_open() if str(error) == CLOSED else None
        return None if self._arguments is None else self.unhashable(self._arguments, key)

    def not_open(self) -> CacheClosedError:
        """Return the error of a call while the cache is not open."""
        return CacheClosedError(
            f"{self.name}() was called while its cache was not open; open it once, before the first call, "
            f"such as when the application starts: 'async with {self.name}.cache:', or a CacheRegistry"
        )

    def nothing_for(self, key: Hashable) -> KeyNotFoundError:
        """Return the error of a call for which the function said that there is nothing."""
        return KeyNotFoundError(f"{self.name}() found nothing for {key!r}", key=key)

    def unhashable(self, arguments: Arguments, key: Hashable) -> TypeError | None:
        """Return the error of an argument that cannot be hashed; ``None`` when all can."""
        found = arguments.unhashable(key)
        if found is None:
            return None
        name, value, error = found
        return TypeError(
            f"{self.name}() cannot be looked up: {error}. Its arguments are the key, and {name!r} is a "
            f"{type(value).__qualname__}; pass something hashable, such as a tuple, or give @cached(key=...)"
        )
