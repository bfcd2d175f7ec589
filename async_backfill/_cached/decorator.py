"""The ``cached`` decorator: put a cache in front of an async function or method."""

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
    """A callable with a cache in front of it: a function, or the bound method of an instance."""

    @property
    def cache(self) -> BackfillCache[Any, Any]:
        """The cache: open it with ``async with`` before the first call; all instances share it."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return the result for these arguments, from the cache or, on a miss, from the function."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """Remove the result for these arguments."""
        ...


class Cached(CachedCall[P, R_co], Protocol[P, R_co]):
    """A cached function, or a cached method as an attribute of its class; see `cached`."""

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
    concurrency: int = 100,
    copy: Callable[[Any], Any] | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
    """Put a `BackfillCache` in front of an async function or method; concurrent equal calls become one.

    The arguments are the key, so they must be hashable; a default counts as given. If the function has
    one parameter, its argument is the key itself. An exception of the function reaches the caller as the
    cause of a `LoadError`. A function raises `KeyNotFoundError` to say that there is nothing for these
    arguments.

    ``function.cache`` must be open while the function is called::

        @cached(capacity=10_000)
        async def user(user_id: int) -> User: ...

        async with user.cache:
            await user(7)
            await user.invalidate(7)

    A function in the body of a class is a method. All its instances, and those of subclasses, share one
    cache, ``Shop.price.cache``, and its ``capacity``; ``await shop.price.invalidate("a")`` takes the
    arguments of the call. Instances are compared by identity, never by ``==``, and held weakly: when one is
    gone, its results are removed at one of the next loads, before they are more than half of what is held.
    A result that refers to its instance keeps the instance alive. ``super().price("a")`` uses the method of
    the base class, which has a cache of its own. A static method is treated like a function; put
    ``@staticmethod`` above ``@cached``. For a function that is made an attribute of a class later, the
    instance is an argument like any other.

    :param capacity: results held at the most, 1 or more; ``None`` for no limit.
    :param eviction: the order in which a full cache evicts: ``"fifo"``, ``"lru"``, ``"sieve"`` or
        ``"s3-fifo"``.
    :param load: how the function is called.
    :param freshness: how long results stay good; by default for ever.
    :param concurrency: calls of the function at once.
    :param copy: makes the copy of a result that a caller gets, such as ``copy.deepcopy``; with ``None`` all
        get the result itself.
    :raises ConfigurationError: when a setting is outside what is allowed, or the function takes no
        arguments or is a classmethod; and later, from a call, when an instance cannot be held weakly.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        arguments = _arguments_of(function)

        def make_cache(
            call: Callable[[Any], Awaitable[R]],
        ) -> tuple[BackfillCache[Any, R], MemoryStore[Any, R]]:
            store: MemoryStore[Any, R] = MemoryStore(capacity, eviction=eviction)
            source = each(call, concurrency=concurrency)
            return BackfillCache(source, store=store, load=load, freshness=freshness, copy=copy), store

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
        problem = "must not be a classmethod; make it a staticmethod or a function"
    elif isinstance(function, staticmethod):
        problem = "must not be a staticmethod yet; put @staticmethod above @cached"
    else:
        arguments = Arguments(inspect.signature(function))
        if arguments.signature.parameters:
            return arguments
        problem = "must take an argument: the arguments are the key"
    raise ConfigurationError("cached", f"{name}() {problem}")


def _lookup(
    cache: BackfillCache[Any, R], function: Callable[..., Awaitable[R]], arguments: Arguments
) -> Callable[..., Coroutine[Any, Any, R]]:
    """Return the function that looks up a call; one argument is the usual case, and has a quick way."""
    get, key_of = cache.get, arguments.key

    async def call_with_one(key: Any = _NOT_GIVEN, /, **named: Any) -> R:
        if named or key is _NOT_GIVEN:
            key = key_of(() if key is _NOT_GIVEN else (key,), named)
        value = await get(key, ABSENT)
        if value is ABSENT:
            raise KeyNotFoundError(f"{function!r} found nothing for {key!r}", key=key)
        return value

    async def call_with_any(*args: Any, **named: Any) -> R:
        return await call_with_one(key_of(args, named))

    return call_with_one if arguments.is_one else call_with_any
