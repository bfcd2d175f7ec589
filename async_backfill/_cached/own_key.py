"""Keys that a function of the user's makes of the arguments, which cannot be made of the key again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._cached.explaining import EXPLAINED
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from async_backfill._cache import BackfillCache
    from async_backfill._cached.explaining import Explainer
    from async_backfill._cached.settings import CacheSettings


class OwnKey:
    """Looks up the calls of ``function`` under the keys that ``key`` makes of their arguments.

    A load takes the arguments of a call that is in progress; they are forgotten when it ends, so that nothing
    is called with a connection or a request that is over.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        key: Callable[..., Hashable],
        explainer: Explainer,
    ) -> None:
        self._function = function
        self._key = key
        self._explainer = explainer
        self._calls: dict[Hashable, dict[object, tuple[tuple[Any, ...], dict[str, Any]]]] = {}

    def of(self, args: tuple[Any, ...], named: dict[str, Any]) -> Hashable:
        """Return the key of a call.

        :raises TypeError: when the key cannot be hashed; and whatever ``key`` raises.
        """
        key = self._key(*args, **named)
        try:
            hash(key)
        except TypeError as error:
            kind, maker = type(key).__qualname__, getattr(self._key, "__qualname__", repr(self._key))
            raise TypeError(
                f"{self._explainer.name}() cannot be looked up: {error}. The key function {maker} returned a "
                f"{kind}; return something hashable, such as a tuple"
            ) from None
        return key

    async def load(self, key: Hashable) -> Any:
        """Call the function with the arguments of a call in progress."""
        for args, named in self._calls.get(key, {}).values():
            return await self._function(*args, **named)
        problem = "with a key function only a call can load, for its arguments are not in the key; call it"
        raise ConfigurationError(self._explainer.name, problem)

    def make_lookup(self, cache: BackfillCache[Any, Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the function that looks up a call in ``cache``."""
        explainer, calls = self._explainer, self._calls

        async def look_up(*args: Any, **named: Any) -> Any:
            key, this = self.of(args, named), object()
            calls.setdefault(key, {})[this] = args, named
            try:
                value = await cache.get(key, ABSENT)
            except EXPLAINED as failure:
                error = explainer.better(failure, key)
                if error is None:
                    raise
            else:
                if value is not ABSENT:
                    return value
                error = explainer.nothing_for(key)
            finally:
                of_key = calls[key]
                del of_key[this]
                if not of_key:
                    del calls[key]
            try:
                raise error
            finally:
                del error, args, named

        return look_up


def refuse_without_arguments(settings: CacheSettings) -> None:
    """Refuse what loads keys without a call.

    :raises ConfigurationError: for backfills, and for loads in the background: they could only fail, and with
        a circuit breaker these failures would refuse the calls.
    """
    for name in ("scan", "journal"):
        if settings.get(name) is not None:
            raise ConfigurationError(
                name, "loads keys that nobody asks for, which a key function makes impossible"
            )
    backfill, freshness = settings.get("backfill"), settings.get("freshness")
    if backfill is not None and backfill.successors:
        raise ConfigurationError(
            "successors", "load keys that nobody asks for; leave them out with a key function"
        )
    if backfill is not None and backfill.selection != "source":
        problem = f"{backfill.selection!r} loads keys that nobody asks for; leave it out with a key function"
        raise ConfigurationError("selection", problem)
    if settings.get("snapshot") is not None:  # any: after a kill also a trusted one loads what its log names
        problem = (
            "loads keys again that nobody asks for, which a key function makes impossible; what survives a "
            "restart is a far tier, such as FarTier(store=SQLiteStore(...))"
        )
        raise ConfigurationError("snapshot", problem)
    if freshness is not None and (
        freshness.early or (freshness.stale_for and freshness.stale_wait is not None)
    ):
        problem = (
            "loads in the background, when the call with the arguments is over; with a key function "
            "leave out 'early', and say stale_wait=None beside 'stale_for'"
        )
        raise ConfigurationError("freshness", problem)
