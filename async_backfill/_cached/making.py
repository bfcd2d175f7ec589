"""Make the cache of a function or a method, and what is called in its place."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import WRAPPER_ASSIGNMENTS, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill._cache import BackfillCache
from async_backfill._cached.call_key import Arguments
from async_backfill._cached.explaining import EXPLAINED, Explainer, name_of
from async_backfill._cached.fitness import class_around, refuse_unfit
from async_backfill._cached.instance_calls import InstanceCalls, refuse_for_instances
from async_backfill._cached.method import CachedMethod
from async_backfill._cached.own_key import OwnKey, refuse_without_arguments
from async_backfill._loading.batch import Batch
from async_backfill._lookup.answering import Later
from async_backfill.errors import CacheClosedError
from async_backfill.outcomes import ABSENT
from async_backfill.sources.callable import each
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from async_backfill._cached.settings import CacheSettings

_NOT_GIVEN: Final = object()
_KINDS: Final = MappingProxyType({"__name__": str, "__qualname__": str, "__type_params__": tuple})
"""What Python wants these attributes of a function to be; in their places a mock has mocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was said in the parentheses of the decorator; see `async_backfill.cached`."""

    key: Callable[..., Hashable] | None
    typed: bool
    concurrency: int
    settings: CacheSettings


def put_cache_before(function: Any, options: Options, *, depth: int) -> Any:
    """Return ``function`` with a cache in front of it; it is defined ``depth`` frames up.

    :raises ConfigurationError: when it is not an async function, or a setting is outside what is allowed.
    """
    refuse_unfit(function)
    owner = class_around(function, depth=depth)
    signature = inspect.signature(function)
    takes_self = next(iter(signature.parameters), None) == "self" and not inspect.ismethod(function)
    is_method = owner is not None or takes_self
    arguments = Arguments(signature, typed=options.typed)
    if options.key is not None:
        look_up = of_static = _with_own_key(function, options.key, options)
        is_known: Callable[[object], bool] = _always
    elif is_method:
        refuse_for_instances(options.settings)
        calls = InstanceCalls(
            function, arguments, name_of(function), lambda call: _cache_of(function, call, options)
        )
        look_up = _dressed(function, calls.make_lookup(), calls.cache, calls.invalidate)
        of_static = _dressed(function, calls.make_static_lookup(), calls.cache, calls.invalidate_static)
        is_known = calls.is_known
    else:
        return _with_arguments(function, arguments, options)
    if not is_method:
        return look_up
    around = owner or (function.__module__, "")
    return CachedMethod(look_up, of_static, owner=around, takes_self=takes_self, is_known=is_known)


def _cache_of(
    function: Callable[..., object], call: Callable[[Any], Awaitable[Any]], options: Options
) -> tuple[BackfillCache[Any, Any], MemoryStore[Any, Any]]:
    settings = options.settings.copy()
    store: Any = settings.get("store")
    if store is None:
        capacity = settings.pop("capacity", None)
        store = settings["store"] = MemoryStore(capacity, eviction=settings.pop("eviction", "fifo"))
    if settings.get("name") is None:
        settings["name"] = name_of(function)
    return BackfillCache(each(call, concurrency=options.concurrency), **settings), store


def _dressed(
    function: Callable[..., Any],
    look_up: Callable[..., Coroutine[Any, Any, Any]],
    cache: BackfillCache[Any, Any],
    invalidate: Callable[..., Coroutine[Any, Any, None]],
) -> Any:
    """Return ``look_up`` as ``function`` looks, with the attributes of a cached function."""
    odd = {name for name, kind in _KINDS.items() if not isinstance(getattr(function, name, None), kind)}
    wrapped: Any = wraps(function, assigned=[name for name in WRAPPER_ASSIGNMENTS if name not in odd])(
        look_up
    )
    wrapped.cache, wrapped.invalidate = cache, invalidate
    return wrapped


def _with_arguments(function: Callable[..., Any], arguments: Arguments, options: Options) -> Any:
    """Return ``function`` with a cache in front of it whose keys are made of the arguments."""

    def call(key: Any) -> Awaitable[Any]:
        if arguments.is_one:
            return run(key)
        args, named = arguments.given(key)
        return run(*args, **named)

    run: Callable[..., Awaitable[Any]] = function
    explainer = Explainer(name_of(function), arguments)
    cache, _ = _cache_of(function, call, options)
    invalidate = _invalidate(cache, arguments.key, explainer)
    return _dressed(function, _look_up(cache, arguments, explainer), cache, invalidate)


def _with_own_key(function: Callable[..., Any], key: Callable[..., Hashable], options: Options) -> Any:
    """Return ``function`` with a cache in front of it whose keys the user's ``key`` makes."""
    refuse_without_arguments(options.settings)
    explainer = Explainer(name_of(function), None)
    own = OwnKey(function, key, explainer)
    cache, _ = _cache_of(function, own.load, options)
    return _dressed(function, own.make_lookup(cache), cache, _invalidate(cache, own.of, explainer))


def _invalidate(
    cache: BackfillCache[Any, Any], key_of: Callable[..., Hashable], explainer: Explainer
) -> Callable[..., Coroutine[Any, Any, None]]:
    async def invalidate(*args: Any, **named: Any) -> None:
        """Remove the result for these arguments."""
        key = key_of(args, named)
        try:
            await cache.invalidate(key)
        except (CacheClosedError, TypeError) as error:
            raise explainer.better(error, key) or error from None

    return invalidate


def _look_up(  # noqa: C901 - each call and each coroutine would show
    cache: BackfillCache[Any, Any], arguments: Arguments, explainer: Explainer
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the function that looks up a call; one argument is the usual case, and has a quick way."""
    key_of = arguments.key
    path, counters = cache._pieces_of_get()  # noqa: SLF001 - a coroutine less than `get`, for each who waits

    async def call_with_one(key: Any = _NOT_GIVEN, /, **named: Any) -> Any:
        if named or key is _NOT_GIVEN:
            key = key_of(() if key is _NOT_GIVEN else (key,), named)
        try:
            value = path.find(key, ABSENT)
            if value is not ABSENT:
                counters.hits += 1
                return value
            answering = path.answering
            value = answering.begin(key)
            if type(value) is Batch:
                try:
                    await value.wait()
                except BaseException:
                    answering.leave(value)
                    raise
                value = answering.ended(key, value)
            if type(value) is Later:
                value = await value.rest
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
            del error, key, named  # its traceback has this frame

    async def call_with_any(*args: Any, **named: Any) -> Any:
        return await call_with_one(key_of(args, named))

    return call_with_one if arguments.is_one else call_with_any


def _always(_: object) -> bool:
    return True
