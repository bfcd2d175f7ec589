"""A registry of caches: one ``async with`` opens all of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar

from async_backfill._cache import BackfillCache
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T", bound="BackfillCache[Any, Any] | Callable[..., Any]")

__all__ = ["CacheRegistry"]


class CacheRegistry:
    """The caches of an application, which are opened and closed together.

    ::

        caches = CacheRegistry()

        @caches.add
        @cached(capacity=10_000)
        async def user(user_id: int) -> User: ...

        async with caches:
            await user(7)

    They are opened in the order in which they were added, and closed in the reverse order; when one cannot
    be opened, those before it are closed again.

    :param caches: caches, cached functions or cached methods, as for `add`.
    """

    def __init__(self, *caches: BackfillCache[Any, Any] | Callable[..., Any]) -> None:
        self._caches: dict[int, BackfillCache[Any, Any]] = {}  # by ``id``: a cache is told apart by identity
        self._opened: AsyncExitStack | None = None
        for cache in caches:
            self.add(cache)

    def add(self, cache: T) -> T:
        """Add a cache, or that of a cached function or method, and return what was given.

        So it can stand above `cached`. What was added before is not added again.

        :raises ConfigurationError: when it has no cache.
        :raises RuntimeError: while the registry is open.
        """
        found = cache if isinstance(cache, BackfillCache) else getattr(cache, "cache", None)
        if not isinstance(found, BackfillCache):
            name = getattr(cache, "__qualname__", repr(cache))
            problem = f"{name} has no cache; add a BackfillCache, or a function with @cached"
            raise ConfigurationError("CacheRegistry", problem)
        if self._opened is not None and id(found) not in self._caches:
            name = getattr(cache, "__qualname__", repr(cache))
            raise RuntimeError(
                f"the registry is open already: add {name} before, or import its module earlier"
            )
        self._caches[id(found)] = found
        return cache

    def __len__(self) -> int:
        """Return the number of caches."""
        return len(self._caches)

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("the registry is already open; enter it once, where the application starts")
        async with AsyncExitStack() as opened:
            for cache in self._caches.values():
                await opened.enter_async_context(cache)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        opened, self._opened = self._opened, None
        return None if opened is None else await opened.__aexit__(exc_type, exc, traceback)
