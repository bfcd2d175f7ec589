"""The calls of a cached method: keys with the identity of the instance, one cache for all of them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from async_backfill._cached.explaining import EXPLAINED, Explainer
from async_backfill._cached.identity import Instance, Instances
from async_backfill.errors import CacheClosedError, ConfigurationError, KeyNotFoundError
from async_backfill.outcomes import ABSENT
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from async_backfill._cache import BackfillCache
    from async_backfill._cached.call_key import Arguments
    from async_backfill._cached.settings import CacheSettings


class InstanceCalls:
    """Loads, looks up and invalidates the results of a method for each of its instances.

    All instances share one cache: decision 45 in notes.md. A key is the instance, by identity and held
    weakly, and the other arguments; of a static method it is ``None`` and all arguments.

    :param arguments: the parameters of ``function``, and ``name`` what it is called in errors.
    :param make_cache: returns a cache and its store, given the function that loads the value of a key.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        arguments: Arguments,
        name: str,
        make_cache: Callable[
            [Callable[[Any], Awaitable[Any]]], tuple[BackfillCache[Any, Any], MemoryStore[Any, Any]]
        ],
    ) -> None:
        self._function = function
        self._all_arguments = arguments
        self._arguments = arguments.of_method()
        self._explainer = Explainer(name, self._arguments)
        self._explainer_of_static = Explainer(name, arguments)
        self._instances = Instances()
        self.cache, self._store = make_cache(self._load)

    def is_known(self, instance: object) -> bool:
        """Return whether there was a call for ``instance``."""
        known = self._instances.living.get(id(instance))
        return known is not None and known() is instance

    def make_lookup(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the function that looks up a call; a closure, because each attribute slows a hit down."""
        get, living, instance_of = self.cache.get, self._instances.living, self._instances.of
        arguments, explainer = self._arguments, self._explainer
        is_one, key_of = arguments.is_one, arguments.key

        async def look_up(instance: object, /, *args: Any, **named: Any) -> Any:
            known = living.get(id(instance))
            if known is None or known() is not instance:
                known = instance_of(instance)
            key = args[0] if is_one and len(args) == 1 and not named else key_of(args, named)
            try:
                value = await get((known, key), ABSENT)
            except EXPLAINED as failure:
                error = explainer.better(failure, key)
                if error is None:
                    raise
            else:
                if value is not ABSENT:
                    return value
                error = explainer.nothing_for(key)
            try:
                raise error
            finally:
                del error, instance, args, named, key

        return look_up

    def make_static_lookup(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the function that looks up a call of a static method."""
        get, key_of, explainer = self.cache.get, self._all_arguments.key, self._explainer_of_static

        async def look_up(*args: Any, **named: Any) -> Any:
            key = key_of(args, named)
            try:
                value = await get((None, key), ABSENT)
            except EXPLAINED as failure:
                error = explainer.better(failure, key)
                if error is None:
                    raise
            else:
                if value is not ABSENT:
                    return value
                error = explainer.nothing_for(key)
            try:
                raise error
            finally:
                del error, args, named, key

        return look_up

    async def invalidate(self, instance: object, /, *args: Any, **named: Any) -> None:
        """Remove the result for an instance and arguments."""
        key = self._arguments.key(args, named)
        await self._remove((self._instances.of(instance), key))

    async def invalidate_static(self, *args: Any, **named: Any) -> None:
        """Remove the result of a static method for arguments."""
        await self._remove((None, self._all_arguments.key(args, named)))

    async def _remove(self, key: Hashable) -> None:
        try:
            await self.cache.invalidate(key)
        except CacheClosedError as error:
            raise self._explainer.better(error, key) or error from None

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
        if self._instances.is_sweep_due(len(self.cache)):
            await self._sweep()
        args, named = self._arguments.given(given)
        return await self._function(instance, *args, **named)

    async def _sweep(self) -> None:
        """Remove the results of dead instances, which no caller can ask for any more."""
        probation = self.cache._parts.probation  # noqa: SLF001 - what a successor brought along is there
        held = chain(self._store.entries, () if probation is None else probation.unread)
        for key in [key for key in held if key[0] is not None and key[0]() is None]:
            await self.cache.invalidate(key)


def refuse_for_instances(settings: CacheSettings) -> None:
    """Refuse what takes keys out of the process, where nobody knows an instance.

    :raises ConfigurationError: for a far tier, a journal, a scan, a snapshot or a store that cannot be
        searched.
    """
    for name in ("far", "journal", "scan", "snapshot"):
        if settings.get(name) is not None:
            problem = (
                "results of a method belong to one instance, which nobody outside of this process knows; "
                "put the cache in front of a function"
            )
            if name == "far":
                problem += ", or say key=... to make the key of the arguments"
            raise ConfigurationError(name, problem)
    store = settings.get("store")
    if store is not None and not isinstance(store, MemoryStore):
        problem = f"of a method must be a MemoryStore or a WeighedStore, not a {type(store).__qualname__}"
        raise ConfigurationError("store", problem)
