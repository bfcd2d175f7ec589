"""A method with a cache in front of it: one cache for all instances, which are told apart by identity."""

from __future__ import annotations

import inspect
import weakref
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from async_backfill.errors import KeyNotFoundError
from async_backfill.outcomes import ABSENT
from async_backfill.sources.callable import each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.cache import BackfillCache
    from async_backfill.contracts import Source

R = TypeVar("R")


class CachedMethod(Generic[R]):
    """Stands in a class body for ``function``; an instance gets a `BoundCachedMethod` of it.

    Called on the class itself, as a static method is, it is a cached function whose arguments are the key,
    all of them: ``plain`` is that function.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[R]],
        plain: Callable[..., Awaitable[R]],
        invalidate_plain: Callable[..., Awaitable[None]],
        cache: BackfillCache[Any, R],
    ) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.cache = cache
        self.invalidate = invalidate_plain
        self._plain = plain
        self._signature = inspect.signature(function)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> BoundCachedMethod[R]: ...
    def __get__(self, instance: object, owner: type) -> Self | BoundCachedMethod[R]:
        return self if instance is None else BoundCachedMethod(self, instance)

    def __call__(self, *args: Any, **named: Any) -> Awaitable[R]:
        """Return the result for these arguments."""
        return self._plain(*args, **named)

    def key(self, instance: object, args: tuple[Any, ...], named: dict[str, Any]) -> MethodKey:
        """Return the key of a call on ``instance``."""
        bound = self._signature.bind(instance, *args, **named)
        bound.apply_defaults()
        return MethodKey(instance, (bound.args[1:], tuple(sorted(bound.kwargs.items()))))


class BoundCachedMethod(Generic[R]):
    """The method of one instance."""

    def __init__(self, method: CachedMethod[R], instance: object) -> None:
        self.cache = method.cache
        self.__wrapped__ = method.__wrapped__
        self.__doc__ = method.__doc__
        self._method = method
        self._instance = instance

    async def __call__(self, *args: Any, **named: Any) -> R:
        """Return the result for these arguments, from the cache or else from the method."""
        key = self._method.key(self._instance, args, named)
        value = await self.cache.get(key, ABSENT)
        if value is ABSENT:
            raise KeyNotFoundError(f"{self.__wrapped__!r} has nothing for {key!r}", key=key)
        return value

    async def invalidate(self, *args: Any, **named: Any) -> None:
        """Remove the result for these arguments."""
        await self.cache.invalidate(self._method.key(self._instance, args, named))


class MethodKey:
    """The arguments of a call on an instance that it does not keep alive.

    It is equal to a key of the same instance with equal arguments. What is kept for an instance that is gone
    can never be asked for again; it leaves with its ttl, or when there is no room.
    """

    __slots__ = ("_hash", "arguments", "instance")

    def __init__(self, instance: object, arguments: tuple[Any, ...]) -> None:
        try:
            self.instance = weakref.ref(instance)
        except TypeError:
            kind = type(instance).__name__
            problem = f"{kind} cannot be referenced weakly; add '__weakref__' to its __slots__"
            raise TypeError(f"cached: {problem}") from None
        self.arguments = arguments
        self._hash = hash((id(instance), arguments))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MethodKey):
            return NotImplemented
        instance = self.instance()
        return instance is not None and instance is other.instance() and self.arguments == other.arguments

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        positional, named = self.arguments
        shown = [*map(repr, positional), *(f"{name}={value!r}" for name, value in named)]
        return f"({', '.join(shown)}) of {self.instance()!r}"


def source_of(
    function: Callable[..., Awaitable[R]], plain: Callable[[Any], Awaitable[R]], *, concurrency: int
) -> Source[Any, R]:
    """Return what calls ``function`` for the keys of bound calls, and ``plain`` for all others."""

    async def call(key: Any) -> R:
        if not isinstance(key, MethodKey):
            return await plain(key)
        instance = key.instance()
        if instance is None:
            raise KeyNotFoundError("the instance is gone", key=key)
        positional, named = key.arguments
        return await function(instance, *positional, **dict(named))

    return each(call, concurrency=concurrency)


def is_in_class_body(function: Callable[..., Any]) -> bool:
    """Return whether ``function`` was defined in the body of a class."""
    outer = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(outer) and not outer.endswith("<locals>")
