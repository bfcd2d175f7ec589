"""A function, or a method, with a cache in front of it."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar, cast, overload

from async_backfill._cache import BackfillCache
from async_backfill._cached.call_key import Arguments
from async_backfill._cached.method import CachedMethod, is_in_a_class
from async_backfill.errors import ConfigurationError, KeyNotFoundError
from async_backfill.outcomes import ABSENT
from async_backfill.sources.callable import each
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from async_backfill.policies import FreshnessPolicy, LoadPolicy
    from async_backfill.stores._eviction.orders import Eviction

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)

_NOT_GIVEN: Final = object()


class CachedCall(Protocol[P, R_co]):
    """What is called with a cache in front of it: a function, or a method of one instance."""

    @property
    def cache(self) -> BackfillCache[Any, Any]:
        """The cache, to be opened with ``async with`` before the first call; one for all instances."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return the result for these arguments, from the cache or else from the function."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """Remove the result for these arguments."""
        ...


class Cached(CachedCall[P, R_co], Protocol[P, R_co]):
    """A function whose results are cached, or a method as its class has it; see `cached`."""

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Cached[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
    ) -> CachedCall[Q, R]: ...


def cached(
    *,
    capacity: int | None = None,
    eviction: Eviction = "fifo",
    load: LoadPolicy | None = None,
    freshness: FreshnessPolicy | None = None,
    concurrency: int = 10,
) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
    """Put a `BackfillCache` in front of an async function or method; concurrent equal calls make one.

    The arguments are the key, so they must be hashable; defaults count as given. The function with one
    parameter has that itself as its key. What the function raises reaches the caller as the cause of a
    `LoadError`, but for `KeyNotFoundError`, which says that there is nothing for these arguments.

    ``function.cache`` must be open while the function is called::

        @cached(capacity=10_000)
        async def user(user_id: int) -> User: ...

        async with user.cache:
            await user(7)
            await user.invalidate(7)

    A function in the body of a class is a method. All instances, those of subclasses too, share its one
    cache, ``Shop.price.cache``, and ``capacity``; ``await shop.price.invalidate("a")`` takes the arguments
    of the call. The instance is told apart by identity, never by ``==``, and is held weakly: when it is
    gone, its results leave at one of the next loads, before they are more than half of what is held. A
    result that refers to its instance keeps that alive. ``super().price("a")`` asks the method of the
    base class, which has a cache of its own. A static method is like a function; ``@staticmethod`` goes
    above. A function that is put into a class later has its instance as an argument like any other.

    :param concurrency: calls of the function at once, for those keys that are asked for together.
    :raises ConfigurationError: when a setting is outside what is allowed, the function takes no
        arguments or is a classmethod; later, by the call, when an instance cannot be held weakly.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        arguments = _arguments_of(function)

        def make_cache(
            call: Callable[[Any], Awaitable[R]],
        ) -> tuple[BackfillCache[Any, R], MemoryStore[Any, R]]:
            store: MemoryStore[Any, R] = MemoryStore(capacity, eviction=eviction)
            source = each(call, concurrency=concurrency)
            return BackfillCache(source, store=store, load=load, freshness=freshness), store

        if is_in_a_class(function):
            return cast("Cached[P, R]", CachedMethod(function, arguments, make_cache))

        def call(key: Any) -> Awaitable[R]:
            if arguments.is_one:
                return plain(key)
            args, named = arguments.given(key)
            return plain(*args, **named)

        async def invalidate(*args: P.args, **kwargs: P.kwargs) -> None:
            await cache.invalidate(arguments.key(args, kwargs))

        plain: Callable[..., Awaitable[R]] = function
        cache, _ = make_cache(call)
        wrapped: Any = wraps(function)(_lookup(cache, function, arguments))
        wrapped.cache = cache
        wrapped.invalidate = invalidate
        return cast("Cached[P, R]", wrapped)

    return decorate


def _arguments_of(function: Callable[..., Awaitable[Any]]) -> Arguments:
    name = getattr(function, "__name__", repr(function))
    if isinstance(function, classmethod):
        problem = "is a classmethod; make it a staticmethod or a function"
    elif isinstance(function, staticmethod):
        problem = "is a staticmethod already; put @staticmethod above @cached"
    else:
        arguments = Arguments(inspect.signature(function))
        if arguments.signature.parameters:
            return arguments
        problem = "takes no arguments, so it has no key"
    raise ConfigurationError("cached", f"{name}() {problem}")


def _lookup(
    cache: BackfillCache[Any, R], function: Callable[..., Awaitable[R]], arguments: Arguments
) -> Callable[..., Coroutine[Any, Any, R]]:
    """Return what looks up arguments; one is by far the most usual, and a tuple of it costs like a hit."""
    get, key_of = cache.get, arguments.key

    async def call_with_one(key: Any = _NOT_GIVEN, /, **named: Any) -> R:
        if named or key is _NOT_GIVEN:
            key = key_of(() if key is _NOT_GIVEN else (key,), named)
        value = await get(key, ABSENT)
        if value is ABSENT:
            raise KeyNotFoundError(f"{function!r} has nothing for {key!r}", key=key)
        return value

    async def call_with_any(*args: Any, **named: Any) -> R:
        return await call_with_one(key_of(args, named))

    return call_with_one if arguments.is_one else call_with_any
