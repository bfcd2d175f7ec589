"""The ``cached`` decorator: put a cache in front of an async function or method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload

from async_backfill._cached.making import Options, put_cache_before
from async_backfill._cached.settings import CacheSettings
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from typing_extensions import Unpack

    from async_backfill._cache import BackfillCache

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)


class CachedCall(Protocol[P, R_co]):
    """A callable with a cache in front of it: a function, or the bound method of an instance."""

    __name__: str
    __qualname__: str

    @property
    def cache(self) -> BackfillCache[Any, Any]:
        """The cache: open it with ``async with`` before the first call; all instances share it."""
        ...

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function itself, which is called without the cache."""
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


@overload
def cached(function: Callable[P, Awaitable[R]], /) -> Cached[P, R]: ...
@overload
def cached(
    *,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    concurrency: int = 100,
    **settings: Unpack[CacheSettings],
) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]: ...
def cached(
    function: Callable[..., Awaitable[Any]] | None = None,
    /,
    *,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    concurrency: int = 100,
    **settings: Unpack[CacheSettings],
) -> object:
    """Put a `BackfillCache` in front of an async function or method; concurrent equal calls become one.

    The arguments are the key, so they must be hashable; a default counts as given. If the function has
    one parameter, its argument is the key itself. An exception of the function reaches each of its callers
    as itself, and nothing is cached; errors of the cache, such as `LoadTimeoutError`, stay what they are. A
    function raises `KeyNotFoundError` to say that there is nothing for these arguments.

    ``function.cache`` must be open while the function is called; a `CacheRegistry` opens many::

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
    the base class, which has a cache of its own. Other decorators may stand above it. A static method is
    treated like a function; put ``@staticmethod`` above ``@cached``.

    :param key: makes the key of the arguments of a call, the instance of a method among them. Then nothing is
        loaded but for a call in progress, with its arguments, so there are no backfills and no loads in the
        background.
    :param typed: ``True`` tells arguments apart by their type as well, so that ``1``, ``1.0`` and ``True``
        are three; those inside of an argument are not looked at.
    :param concurrency: calls of the function at once.
    :param settings: any other setting of a `BackfillCache` but its source; ``name`` is by default that of the
        function. What takes keys out of the process, such as ``far``, needs a ``key`` for a method.
    :raises ConfigurationError: when a setting is outside what is allowed, or what is decorated is not an
        async function; and later, from a call, when an instance cannot be held weakly.
    """
    known = CacheSettings.__annotations__
    if unknown := sorted(set(settings) - set(known)):
        names = ", ".join(("key", "typed", "concurrency", *known))
        raise TypeError(f"cached() has no setting {', '.join(unknown)}; it has {names}")
    maker: object = key
    if maker is not None and (typed or not callable(maker)):
        problem = "makes the whole key; leave out 'typed'" if typed else f"must be a function, not {maker!r}"
        raise ConfigurationError("key", problem)
    options = Options(key=key, typed=typed, concurrency=concurrency, settings=settings)
    if function is not None:
        return put_cache_before(function, options, depth=2)
    return lambda function: put_cache_before(function, options, depth=2)
