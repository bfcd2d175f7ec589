"""A function with a cache in front of it."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar, cast

from async_backfill.cache import BackfillCache
from async_backfill.errors import ConfigurationError, KeyNotFoundError
from async_backfill.outcomes import ABSENT
from async_backfill.sources.callable import each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from async_backfill.policies import FreshnessPolicy, LoadPolicy
    from async_backfill.stores.orders import Eviction

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_NOT_GIVEN: Final = object()


class Cached(Protocol[P, R_co]):
    """A function whose results are cached; see `cached`."""

    @property
    def cache(self) -> BackfillCache[Any, Any]:
        """The cache, to be opened with ``async with`` before the first call."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return the result for these arguments, from the cache or else from the function."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """Remove the result for these arguments."""
        ...


def cached(
    *,
    capacity: int | None = None,
    eviction: Eviction = "fifo",
    load: LoadPolicy | None = None,
    freshness: FreshnessPolicy | None = None,
    concurrency: int = 10,
) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
    """Put a `BackfillCache` in front of an async function: concurrent calls with equal arguments make one.

    The arguments are the key, so they must be hashable; defaults count as given. The function with one
    parameter has that itself as its key. What the function raises reaches the caller as the cause of a
    `LoadError`, but for `KeyNotFoundError`, which says that there is nothing for these arguments.

    ``function.cache`` must be open while the function is called::

        @cached(capacity=10_000)
        async def user(user_id: int) -> User: ...

        async with user.cache:
            await user(7)
            await user.invalidate(7)

    :param concurrency: calls of the function at once, for those keys that are asked for together.
    :raises ConfigurationError: when a setting is outside what is allowed, or the function takes no
        arguments.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        arguments = _Arguments(function)
        cache: BackfillCache[Any, R] = BackfillCache(
            each(arguments.call, concurrency=concurrency),
            capacity=capacity,
            eviction=eviction,
            load=load,
            freshness=freshness,
        )

        async def invalidate(*args: P.args, **kwargs: P.kwargs) -> None:
            await cache.invalidate(arguments.key(args, kwargs))

        wrapped: Any = wraps(function)(_lookup(cache, arguments))
        wrapped.cache = cache
        wrapped.invalidate = invalidate
        return cast("Cached[P, R]", wrapped)

    return decorate


class _Arguments:
    """From the arguments of ``function`` to a key, and back."""

    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self.function = function
        self._signature = inspect.signature(function)
        kinds = [parameter.kind for parameter in self._signature.parameters.values()]
        if not kinds:
            name = getattr(function, "__name__", repr(function))
            raise ConfigurationError("cached", f"{name}() takes no arguments, so it has no key")
        self.is_one = len(kinds) == 1 and kinds[0] in {
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        }

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = tuple(sorted(bound.kwargs.items()))
        return cast("Hashable", bound.args[0]) if self.is_one else (bound.args, named)

    def call(self, key: Any) -> Awaitable[Any]:
        if self.is_one:
            return self.function(key)
        args, named = key
        return self.function(*args, **dict(named))


def _lookup(cache: BackfillCache[Any, R], arguments: _Arguments) -> Callable[..., Coroutine[Any, Any, R]]:
    """Return what looks up arguments; one is by far the most usual, and a tuple of it costs like a hit."""
    get, key_of = cache.get, arguments.key

    async def call_with_one(key: Any = _NOT_GIVEN, /, **named: Any) -> R:
        if named or key is _NOT_GIVEN:
            key = key_of(() if key is _NOT_GIVEN else (key,), named)
        value = await get(key, ABSENT)
        if value is ABSENT:
            raise KeyNotFoundError(f"{arguments.function!r} has nothing for {key!r}", key=key)
        return value

    async def call_with_any(*args: Any, **named: Any) -> R:
        return await call_with_one(key_of(args, named))

    return call_with_one if arguments.is_one else call_with_any
