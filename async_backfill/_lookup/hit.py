"""Specialised fast paths for ``get``: one closure for each kind of bookkeeping that a hit needs.

A hit has one coroutine level, no lock, no clock where nothing expires, no call where nothing listens. It
costs about as much as awaiting a function around ``dict.get``, so each attribute and each branch shows: what
does not change between two openings is a variable of a closure. A ``KeyError`` costs only the misses, and
``dict[key]`` is quicker than ``dict.get``. The figures are in decision 30 of ``notes.md``. How a miss goes on
stands in each of them for the same reason: a coroutine of its own would be one more for thousands who wait.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from async_backfill._loading.batch import Batch
from async_backfill._lookup.answering import Later, refusing
from async_backfill._lookup.copies import copying_get
from async_backfill._lookup.hit_path import HitPath
from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.s3_fifo import MOST_HITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backfill._lookup.answering import Answering
    from async_backfill._lookup.counters import Counters
    from async_backfill._lookup.hit_path import Touch
    from async_backfill.contracts import Clock, K, V
    from async_backfill.stores._reading import Entries


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
            fresh_until=fresh_until,
            hit_counts=hit_counts,
            touches=touches,
            clock=clock,
            counters=counters,
        )
        path.get = copying_get(path.get, copy)
        return path
    if fresh_until is not None:
        return _expiring(fresh_until, clock, counters)
    if hit_counts is not None:
        return _counting(hit_counts, counters)
    return _touching(counters) if touches else _plain(counters)


def _plain(counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    miss: Answering[K, V] = refusing()

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        try:
            value: Any = entries[key]
        except KeyError:
            pass
        else:
            counters.hits += 1
            return value
        misses = miss  # not those that ``use`` may set meanwhile
        value = misses.begin(key)
        if type(value) is Batch:
            try:
                await value.wait()
            except BaseException:
                misses.leave(value)
                raise
            value = misses.ended(key, value)
        if type(value) is Later:
            value = await value.rest
        return default if value is ABSENT else value

    def use(new: Entries[K, V], _: Touch[K] | None, ask: Answering[K, V]) -> None:
        nonlocal entries, miss
        entries, miss = new, ask

    return HitPath(get, use)


def _touching(counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    touch: Touch[K] | None = None
    miss: Answering[K, V] = refusing()

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        try:
            value: Any = entries[key]
        except KeyError:
            pass
        else:
            if touch is not None:
                touch(key)
            counters.hits += 1
            return value
        misses = miss  # not those that ``use`` may set meanwhile
        value = misses.begin(key)
        if type(value) is Batch:
            try:
                await value.wait()
            except BaseException:
                misses.leave(value)
                raise
            value = misses.ended(key, value)
        if type(value) is Later:
            value = await value.rest
        return default if value is ABSENT else value

    def use(new: Entries[K, V], listener: Touch[K] | None, ask: Answering[K, V]) -> None:
        nonlocal entries, touch, miss
        entries, touch, miss = new, listener, ask

    return HitPath(get, use)


def _counting(hit_counts: dict[K, int], counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    miss: Answering[K, V] = refusing()

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        try:
            value: Any = entries[key]
        except KeyError:
            pass
        else:
            hits = hit_counts.get(key, 0)
            if hits < MOST_HITS:
                hit_counts[key] = hits + 1
            counters.hits += 1
            return value
        misses = miss  # not those that ``use`` may set meanwhile
        value = misses.begin(key)
        if type(value) is Batch:
            try:
                await value.wait()
            except BaseException:
                misses.leave(value)
                raise
            value = misses.ended(key, value)
        if type(value) is Later:
            value = await value.rest
        return default if value is ABSENT else value

    def use(new: Entries[K, V], _: Touch[K] | None, ask: Answering[K, V]) -> None:
        nonlocal entries, miss
        entries, miss = new, ask

    return HitPath(get, use)


def _expiring(fresh_until: Mapping[K, float], clock: Clock, counters: Counters) -> HitPath[K, V]:
    entries: Entries[K, V] = {}
    touch: Touch[K] | None = None
    miss: Answering[K, V] = refusing()
    soonest = -math.inf  # before that all values are fresh

    async def get(key: K, default: object = None) -> object:
        """See `BackfillCache.get`."""
        value: Any
        try:
            value = entries[key]
            if (now := clock()) < soonest or now < fresh_until[key]:
                if touch is not None:
                    touch(key)
                counters.hits += 1
                return value
        except KeyError:
            pass
        misses = miss  # not those that ``use`` may set meanwhile
        value = misses.begin(key)
        if type(value) is Batch:
            try:
                await value.wait()
            except BaseException:
                misses.leave(value)
                raise
            value = misses.ended(key, value)
        if type(value) is Later:
            value = await value.rest
        return default if value is ABSENT else value

    def use(new: Entries[K, V], listener: Touch[K] | None, ask: Answering[K, V]) -> None:
        nonlocal entries, touch, miss
        entries, touch, miss = new, listener, ask

    def use_soonest(time: float) -> None:
        nonlocal soonest
        soonest = time

    return HitPath(get, use, use_soonest)
