"""The descriptor that puts a cache in front of a method."""

from __future__ import annotations

from functools import partial, update_wrapper, wraps
from inspect import ismethod
from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn, cast

from async_backfill._cached.identity import Instance, Instances
from async_backfill.errors import ConfigurationError, KeyNotFoundError
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from async_backfill._cache import BackfillCache
    from async_backfill._cached.call_key import Arguments
    from async_backfill.stores.memory import MemoryStore


def is_in_a_class(function: Callable[..., object]) -> bool:
    """Return whether ``function`` was defined in the body of a class, judged by its ``__qualname__``.

    A bound method does not count: it is called without its instance, like any function.
    """
    around = getattr(function, "__qualname__", "").rpartition(".")[0]
    return bool(around) and not around.endswith("<locals>") and not ismethod(function)


class CachedMethod:
    """A descriptor in place of an async method ``function``; see `async_backfill.cached`.

    All instances share one cache: decision 45 in notes.md. A key is the instance, by identity and held
    weakly, and the other arguments. A static method is never bound: then ``None`` is in place of the
    instance.

    :param arguments: the parameters of ``function``.
    :param make_cache: returns a cache and its store, given the function that loads the value of a key.
    """

    cache: BackfillCache[Any, Any]
    """The cache of all instances: open it with ``async with`` before the first call."""

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        arguments: Arguments,
        make_cache: Callable[
            [Callable[[Any], Awaitable[Any]]], tuple[BackfillCache[Any, Any], MemoryStore[Any, Any]]
        ],
    ) -> None:
        update_wrapper(self, function)
        self._function = function
        self._all_arguments = arguments
        self._arguments = arguments.of_method()
        self._instances = Instances()
        self.cache, self._store = make_cache(self._load)
        of_instance: Any = wraps(function)(self._make_lookup())
        of_instance.cache, of_instance.invalidate = self.cache, self._invalidate
        self._of_instance = of_instance
        self._is_of_class = False

    def __set_name__(self, owner: type, name: str) -> None:
        self._is_of_class = True

    def __get__(self, instance: object | None, owner: type | None = None) -> object:
        if instance is None:
            self._is_of_class = True
            return self
        if instance is owner:  # a classmethod calls it like this before Python 3.13; do as later versions do
            return MethodType(self, instance)
        return BoundMethod(self._of_instance, instance)

    async def __call__(self, *args: Any, **named: Any) -> Any:
        """Return the result for an instance and arguments, from the cache or, on a miss, the function."""
        if self._is_of_class:
            return await self._of_instance(*args, **named)
        key = self._static_key(args, named)
        value = await self.cache.get((None, key), ABSENT)
        return self._nothing_for(key) if value is ABSENT else value

    async def invalidate(self, *args: Any, **named: Any) -> None:
        """Remove the result for an instance and arguments."""
        if self._is_of_class:
            await self._invalidate(*args, **named)
        else:
            await self.cache.invalidate((None, self._static_key(args, named)))

    def _make_lookup(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the function that looks up a call; a closure, because each attribute slows a hit down."""
        get, living, instance_of = self.cache.get, self._instances.living, self._instances.of
        is_one, key_of, nothing_for = self._arguments.is_one, self._arguments.key, self._nothing_for

        async def look_up(instance: object, /, *args: Any, **named: Any) -> Any:
            known = living.get(id(instance))
            if known is None or known() is not instance:
                known = instance_of(instance)
            key = args[0] if is_one and len(args) == 1 and not named else key_of(args, named)
            value = await get((known, key), ABSENT)
            return nothing_for(key) if value is ABSENT else value

        return look_up

    async def _invalidate(self, instance: object, /, *args: Any, **named: Any) -> None:
        await self.cache.invalidate((self._instances.of(instance), self._arguments.key(args, named)))

    def _nothing_for(self, key: Hashable) -> NoReturn:
        raise KeyNotFoundError(f"{self._function!r} found nothing for {key!r}", key=key)

    def _static_key(self, args: tuple[Any, ...], named: dict[str, Any]) -> Hashable:
        if args and isinstance(args[0], type) and self._is_classmethod_of(args[0]):
            name = self._function.__name__
            raise ConfigurationError(
                "cached", f"{name}() must not be a classmethod; make it a staticmethod or a function"
            )
        return self._all_arguments.key(args, named)

    def _is_classmethod_of(self, owner: type) -> bool:
        found = (attribute for base in owner.__mro__ for attribute in vars(base).values())
        return any(isinstance(one, classmethod) and one.__func__ is self for one in found)

    async def _load(self, key: tuple[Instance | None, Any]) -> Any:
        """Call the function for a key."""
        known, given = key
        if known is None:
            args, named = self._all_arguments.given(given)
            return await self._function(*args, **named)
        instance = known()
        if instance is None:  # it died before the load began, so no caller waits
            raise KeyNotFoundError("the instance is gone", key=key)
        known.loads += 1
        if self._instances.is_sweep_due(len(self._store)):
            await self._sweep()
        args, named = self._arguments.given(given)
        return await self._function(instance, *args, **named)

    async def _sweep(self) -> None:
        """Remove the results of dead instances, which no caller can ask for any more."""
        for key in [key for key in self._store.entries if key[0] is not None and key[0]() is None]:
            await self.cache.invalidate(key)


class BoundMethod(partial[Any]):
    """A cached method bound to one instance, which it keeps alive as any bound method does.

    It is a ``partial`` because that is the cheapest to call, and `inspect` shows the right signature.
    """

    __slots__ = ()

    @property
    def cache(self) -> BackfillCache[Any, Any]:
        """The cache of all instances."""
        return cast("BackfillCache[Any, Any]", self.func.cache)  # type: ignore[attr-defined] # it is a `Cached`

    async def invalidate(self, *args: Any, **named: Any) -> None:
        """Remove the result for the arguments."""
        await self.func.invalidate(*self.args, *args, **named)  # type: ignore[attr-defined] # as above

    @property
    def __self__(self) -> object:
        return self.args[0]

    @property
    def __doc__(self) -> str | None:  # type: ignore[override] # of the function, as a method's is
        return self.func.__doc__

    def __getattr__(self, name: str) -> Any:
        if name in {"__name__", "__qualname__"}:  # with more, `inspect` would take it for the function itself
            return getattr(self.func, name)
        raise AttributeError(f"{self!r} has no attribute {name!r}", name=name, obj=self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMethod):
            return NotImplemented
        return self.func is other.func and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((self.func, id(self.__self__)))
