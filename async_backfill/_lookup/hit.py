"""Specialised fast paths for ``get``: one closure for each kind of bookkeeping that a hit needs.

A hit has one coroutine level, no lock, no clock where nothing expires, no call where nothing listens. It
costs about as much as awaiting a function around ``dict.get``, so each attribute and each branch shows: what
does not change between two openings is a variable of a closure. A ``KeyError`` costs only the misses, and
``dict[key]`` is quicker than ``dict.get``. The figures are in decision 30 of ``notes.md``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Generic, NoReturn

from async_backfill._lookup.copies import copying_get
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.stores._eviction.s3_fifo import MOST_HITS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Any, TypeAlias

    from async_backfill._lookup.counters import Counters
    from async_backfill.contracts import Clock
    from async_backfill.stores._reading import Entries

    Touch: TypeAlias = Callable[[K], object]
    Miss: TypeAlias = Callable[[K], Awaitable[V | Absent]]

CLOSED: Final = "the cache is not open; use it inside 'async with cache:'"


class HitPath(Generic[K, V]):
    """A ``get``, and what it works with while a cache is open; closed at first.

    :param get: looks a key up; returns the default for what is absent.
    :param use: sets the entries that ``get`` looks into, the listener of hits, and the handler of misses.
    """

    def __init__(
        self,
        get: Callable[..., Coroutine[Any, Any, object]],
        use: Callable[[Entries[K, V], Touch[K] | None, Miss[K, V]], None],
    ) -> None:
        self.get = get
        self._use = use
        self._opened: tuple[Entries[K, V], Miss[K, V]] | None = None

    def open(self, entries: Entries[K, V], touch: Touch[K] | None, miss: Miss[K, V]) -> None:
        """Look hits up in ``entries``, call ``touch`` with each, and let ``miss`` answer the others."""
        self._opened = (entries, miss)
        self._use(entries, touch, miss)

    def listen(self, touch: Touch[K] | None) -> None:
        """Call ``touch`` with each hit from now on; does nothing while it is closed."""
        if self._opened is not None:
            entries, miss = self._opened
            self._use(entries, touch, miss)

    def close(self, reason: str = CLOSED) -> None:
        """Find nothing from now on, and refuse every lookup with ``reason``."""
        self._opened = None
        self._use({}, None, partial(_closed, reason))


def make_hit_path(
    *,
    fresh_until: Mapping[K, float] | None,
    hit_counts: dict[K, int] | None,
    touches: bool,
    clock: Clock,
    counters: Counters,
    copy: Callable[[V], V] | None = None,
) -> HitPath[K, V]:
    """Return the shortest path that does what is asked for; it is closed at first.

    :param fresh_until: when each value expires by ``clock``; ``None`` where none does.
    :param hit_counts: where a hit counts itself, up to 3; ``None`` where nobody counts.
    :param touches: whether hits will ever have a listener.
    :param copy: makes the copy of a value that a reader gets; ``None`` for the value itself.
    """
    if copy is not None:
        path: HitPath[K, V] = make_hit_path(
            fresh_until=fresh_until, hit_counts=hit_counts, touches=touches, clock=clock, counters=counters
        )
        path.get = copying_get(path.get, copy)
        return path
    if fresh_until is not None:
        return _expiring(fresh_until, clock, counters)
    if hit_counts is not None:
        return _counting(hit_counts, counters)
    return _touching(counters) if touches else _plain(counters)


def _closed(reason: str, _: object) -> NoReturn:
    raise CacheClosedError(reason)


_CLOSED: Final = partial(_closed, CLOSED)


def _plain(counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    miss: Miss[K, V] = _CLOSED

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        try:
            value: object = entries[key]
        except KeyError:
            pass
        else:
            counters.hits += 1
            return value
        value = await miss(key)
        return default if value is ABSENT else value

    def use(new: Entries[K, V], _: Touch[K] | None, ask: Miss[K, V]) -> None:
        nonlocal entries, miss
        entries, miss = new, ask

    return HitPath(get, use)


def _touching(counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    touch: Touch[K] | None = None
    miss: Miss[K, V] = _CLOSED

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        try:
            value: object = entries[key]
        except KeyError:
            pass
        else:
            if touch is not None:
                touch(key)
            counters.hits += 1
            return value
        value = await miss(key)
        return default if value is ABSENT else value

    def use(new: Entries[K, V], listener: Touch[K] | None, ask: Miss[K, V]) -> None:
        nonlocal entries, touch, miss
        entries, touch, miss = new, listener, ask

    return HitPath(get, use)


def _counting(hit_counts: dict[K, int], counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    miss: Miss[K, V] = _CLOSED

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        try:
            value: object = entries[key]
        except KeyError:
            pass
        else:
            hits = hit_counts.get(key, 0)
            if hits < MOST_HITS:
                hit_counts[key] = hits + 1
            counters.hits += 1
            return value
        value = await miss(key)
        return default if value is ABSENT else value

    def use(new: Entries[K, V], _: Touch[K] | None, ask: Miss[K, V]) -> None:
        nonlocal entries, miss
        entries, miss = new, ask

    return HitPath(get, use)


def _expiring(fresh_until: Mapping[K, float], clock: Clock, counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    touch: Touch[K] | None = None
    miss: Miss[K, V] = _CLOSED

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        value: object
        try:
            if clock() < fresh_until[key]:
                value = entries[key]
                if touch is not None:
                    touch(key)
                counters.hits += 1
                return value
        except KeyError:
            pass
        value = await miss(key)
        return default if value is ABSENT else value

    def use(new: Entries[K, V], listener: Touch[K] | None, ask: Miss[K, V]) -> None:
        nonlocal entries, touch, miss
        entries, touch, miss = new, listener, ask

    return HitPath(get, use)
