"""The cache that users await: its settings, and how keys are written and removed."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from async_backfill._common.log_lines import CacheLog
from async_backfill._common.validation import positive_seconds_or_none
from async_backfill._session.opened_in import ELSEWHERE, call_soon
from async_backfill._session.reads import Reads
from async_backfill._session.settings import Settings
from async_backfill.backfill.readiness import ReadinessPolicy
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError, ConfigurationError, KeyNotFoundError
from async_backfill.policies import BackfillPolicy, FreshnessPolicy, HistoryPolicy, LoadPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from async_backfill.contracts import (
        AuditSink,
        BoundedStore,
        Clock,
        ControlChannel,
        Journal,
        Permits,
        Scan,
        Seconds,
        Source,
        Tracer,
        Trigger,
    )
    from async_backfill.events import Observer
    from async_backfill.far_tier import FarTier
    from async_backfill.stores._eviction.orders import Eviction
    from async_backfill.stores.snapshot_file import SnapshotFile

_LOGGER: Final = logging.getLogger("async_backfill")


class BackfillCache(Reads[K, V]):
    """A read-through cache in front of ``source``, open inside ``async with``.

    Concurrent misses of one key make one load, concurrent misses of many keys few calls. When the
    share of misses reaches ``miss_threshold``, keys that are likely to be asked for are loaded in
    bulk: a *backfill*. After ``max_backfills`` of them a person must approve more.

    It can be opened again after it was closed, also in another event loop; what it holds stays. It
    must be used from one event loop at a time; on asyncio any task may open or close it, on trio
    the one that opened it must close it. Keys are told apart as in any ``dict``, by ``==`` and ``hash``.

    All readers of a key get the same object, as from a ``dict``: who changes what he got changes it for all.
    Take immutable values, or set ``copy``.

    :param source: where the truth is.
    :param scan: lists the source's keys for backfills, often the same object as ``source``;
        without it nothing is backfilled.
    :param capacity: keys held at the most; ``None`` for no limit. 0 switches the memory off: nothing is kept
        or backfilled, but concurrent misses still share their loads.
    :param eviction: who leaves a full cache: ``"fifo"``, ``"lru"``, ``"sieve"`` or ``"s3-fifo"``.
    :param miss_threshold: share of misses, 0.01 to 1.0, that starts a backfill.
    :param backfill_batch: keys that one backfill loads at the most, 1 or more; ``None`` for 10 in source
        order, and from history for as many as ``LoadPolicy.max_batch``.
    :param max_backfills: automatic backfills before a person must approve more, 0 or more;
        ``None`` for no limit.
    :param permits: hands out the permits of a whole fleet, in place of ``max_backfills``.
    :param control: brings the orders of `control` to a whole fleet, in place of this process alone.
    :param load: how the source is called.
    :param freshness: how long values stay good, and what happens after that; by default for ever.
    :param backfill: when and how a backfill runs.
    :param history: what is remembered of which keys are hot, for ``selection="history"``.
    :param journal: keeps that beyond this process; it is read when the cache is opened first.
    :param readiness: when the cache counts as warm, and who begins to warm it.
    :param far: the far tier (L2), such as Redis: a store that several processes share.
    :param trigger: decides when to backfill, in place of ``miss_threshold`` and of the window in
        ``backfill``.
    :param copy: makes the copy of a value that a reader gets, and the one that is kept of a value put, such
        as ``copy.deepcopy``; ``None`` hands out the value itself.
    :param store: where copies are, in place of a `MemoryStore` of ``capacity``.
    :param snapshot: keeps the entries, too, for the next process; it is read when the cache is opened.
    :param audit_sink: keeps the audit log beyond this process.
    :param audit_keep: audit records held in memory, 1 or more.
    :param observers: functions that are called with each `async_backfill.events.Event`; what one raises
        is logged and goes no further.
    :param tracing: makes spans of loads, backfills and calls of the far tier, such as
        `async_backfill.otel.Tracing`.
    :param clock: seconds that never go back, for measuring loads.
    :param wall_clock: seconds since the epoch, for the audit log.
    :param name: the name of the cache in its events, its log lines, its audit log, and its journal: one that
        a cache of another name has saved is not used.
    :param fingerprint: a text that you change when keys mean something else, such as the version of a schema:
        a journal with another one, or without, is not used.
    :raises ConfigurationError: when a setting is outside what is allowed.
    """

    def __init__(  # noqa: PLR0913 - the settings users name are flat; the others are grouped
        self,
        source: Source[K, V],
        *,
        scan: Scan[K] | None = None,
        capacity: int | None = None,
        eviction: Eviction = "fifo",
        miss_threshold: float = 0.5,
        backfill_batch: int | None = None,
        max_backfills: int | None = None,
        permits: Permits | None = None,
        control: ControlChannel | None = None,
        load: LoadPolicy | None = None,
        freshness: FreshnessPolicy | None = None,
        backfill: BackfillPolicy | None = None,
        history: HistoryPolicy | None = None,
        journal: Journal[K] | None = None,
        readiness: ReadinessPolicy | None = None,
        far: FarTier[K, V] | None = None,
        trigger: Trigger | None = None,
        store: BoundedStore[K, V] | None = None,
        snapshot: SnapshotFile[K, V] | None = None,
        copy: Callable[[V], V] | None = None,
        audit_sink: AuditSink | None = None,
        audit_keep: int = 1000,
        observers: Iterable[Observer] = (),
        tracing: Tracer | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        name: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(
            Settings(
                source=source,
                scan=scan,
                capacity=capacity,
                eviction=eviction,
                miss_threshold=miss_threshold,
                backfill_batch=backfill_batch,
                max_backfills=max_backfills,
                permits=permits,
                control=control,
                load=load or LoadPolicy(),
                freshness=freshness or FreshnessPolicy(),
                backfill=backfill or BackfillPolicy(),
                history=history or HistoryPolicy(),
                journal=journal,
                readiness=readiness or ReadinessPolicy(),
                far=far,
                trigger=trigger,
                store=store,
                snapshot=snapshot,
                copy=copy,
                audit_sink=audit_sink,
                audit_keep=audit_keep,
                observers=tuple(observers),
                tracing=tracing,
                clock=clock,
                wall_clock=wall_clock,
                name=name,
                fingerprint=fingerprint,
            )
        )
        if type(self).get is BackfillCache.get:
            # In place of the method, which would await it: a hit has one coroutine level (decision 30).
            vars(self)["get"] = self._parts.hit_path.get

    async def put(self, key: K, value: V, *, ttl: Seconds | None = None) -> None:
        """Cache ``value`` for ``key``; it wins over any load or backfill of the key under way.

        Takes and raises what `put_many` does.
        """
        await self.put_many({key: value}, ttl=ttl)

    async def put_many(self, items: Mapping[K, V], *, ttl: Seconds | None = None) -> None:
        """Cache ``items`` in their order; each wins over any load or backfill of its key under way.

        Up to 1,000 are cached in one step, so nobody sees a part of them. More are cached in groups of as
        many, and other tasks get a turn in between: what they put, invalidate or clear meanwhile is later,
        and stays. Leave ``items`` as they are until it returns. Once begun it comes to its end although its
        caller is cancelled, and a failure of one group, which is raised at the end, costs no other.

        :param ttl: seconds for which they stay fresh, in place of ``FreshnessPolicy.ttl``. They stay in this
            process then: a far tier (L2) loses its copies, because its other readers would not know of it.
        :raises ConfigurationError: when ``ttl`` is given and nothing in this cache expires.
        :raises StoreError: when they are cached here, but the far tier (L2) did not take them.
        """
        engine = self._open()
        lifetime = positive_seconds_or_none("ttl", ttl)
        if lifetime is not None and self._near.fresh is None:
            problem = "nothing expires in this cache; give it freshness=FreshnessPolicy(ttl=...) or ttl_of"
            raise ConfigurationError("ttl", problem)
        await engine.writes.put_many(items, lifetime)

    async def invalidate(self, key: K) -> None:
        """Remove ``key``; a load under way serves those who wait for it, but is not stored.

        :raises StoreError: when it was removed here, but maybe not from the far tier (L2).
        """
        await self._open().writes.invalidate_many((key,))

    async def invalidate_many(self, keys: Iterable[K]) -> None:
        """Remove ``keys``, with one call of the far tier for many of them; see `invalidate`.

        More than 1,000 are removed in groups, as `put_many` caches them.

        :raises StoreError: as `invalidate` does.
        """
        await self._open().writes.invalidate_many(tuple(keys))

    def invalidate_soon(self, keys: Iterable[K] | None) -> None:
        """Remove ``keys`` here at once, without waiting; ``None`` removes all.

        For code that cannot await, such as a hook. It may be called from any thread: from another one than
        that of the cache's event loop, it is done as soon as that loop gets to it. The far tier (L2) is told
        in the background. What fails there is counted and logged as each of its failures is, and until it has
        arrived this process does not read the keys from there.

        :raises CacheClosedError: when the cache is not open.
        """
        keys = None if keys is None else tuple(keys)
        opening = self._opening
        if opening is None or opening.opened_in.is_here():
            self._open().invalidate_soon(keys)
        elif not call_soon(opening.opened_in.loop, partial(self._invalidate_late, keys)):
            raise CacheClosedError(ELSEWHERE)

    def _invalidate_late(self, keys: tuple[K, ...] | None) -> None:
        try:
            self._open().invalidate_soon(keys)
        except CacheClosedError:
            count = "all" if keys is None else len(keys)
            log = CacheLog(_LOGGER, self._parts.settings.name)
            log.warning("%s keys were not invalidated: the cache was closed meanwhile", count)

    async def clear(self) -> None:
        """Remove every key; loads under way serve those who wait for them, but are not stored.

        It is one step: Python frees a million entries in 20 to 50 ms.

        :raises StoreError: as `invalidate` does.
        """
        await self._open().clear()

    def evict_oldest(self) -> K:
        """Remove and return the key that would be evicted next: by default the one added first.

        Counts as an eviction.

        :raises KeyNotFoundError: when the cache is empty.
        """
        self._open()
        try:
            return self._near.evict_oldest()
        except LookupError:
            raise KeyNotFoundError("the cache is empty, there is nothing to evict") from None
