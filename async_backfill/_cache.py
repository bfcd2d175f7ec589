"""The facade that users await: a read-through cache that backfills itself."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar, overload

from async_backfill._common.validation import text, whole
from async_backfill._lookup.hit import CLOSED, HitPath, make_hit_path
from async_backfill._session.opening import Opening, open_engine
from async_backfill._session.parts import assemble
from async_backfill.backfill._audit.log import AuditLog
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError, ConfigurationError, KeyNotFoundError
from async_backfill.events import BackfillAudited
from async_backfill.outcomes import ABSENT, Absent
from async_backfill.policies import BackfillPolicy, FreshnessPolicy, HistoryPolicy, LoadPolicy
from async_backfill.records import Status
from async_backfill.stats import Counters, Stats, snapshot
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from async_backfill._session.engine import Engine, Parts
    from async_backfill.contracts import (
        AuditSink,
        BoundedStore,
        Clock,
        Journal,
        Permits,
        Scan,
        Source,
        Trigger,
    )
    from async_backfill.events import Event, Observer
    from async_backfill.far_tier import FarTier
    from async_backfill.records import AuditRecord
    from async_backfill.stores._eviction.orders import Eviction

D = TypeVar("D")
_LOGGER: Final = logging.getLogger("async_backfill")


class BackfillCache(Generic[K, V]):
    """A read-through cache in front of ``source``, open inside ``async with``.

    Concurrent misses of one key make one load, concurrent misses of many keys few calls. When the
    share of misses reaches ``miss_threshold``, keys that are likely to be asked for are loaded in
    bulk: a *backfill*. After ``max_backfills`` of them a person must approve more.

    It can be opened again after it was closed, also in another event loop; what it holds stays. It
    must be used from one event loop at a time. Keys are told apart as in any ``dict``, by ``==``
    and ``hash``.

    :param source: where the truth is.
    :param scan: lists the source's keys for backfills, often the same object as ``source``;
        without it nothing is backfilled.
    :param capacity: keys held at the most, 1 or more; ``None`` for no limit.
    :param eviction: who leaves a full cache: ``"fifo"``, ``"lru"``, ``"sieve"`` or ``"s3-fifo"``.
    :param miss_threshold: share of misses, 0.01 to 1.0, that starts a backfill.
    :param backfill_batch: keys that one backfill loads at the most, 1 or more.
    :param max_backfills: automatic backfills before a person must approve more, 0 or more;
        ``None`` for no limit.
    :param permits: hands out the permits of a whole fleet, in place of ``max_backfills``.
    :param load: how the source is called.
    :param freshness: how long values stay good, and what happens after that; by default for ever.
    :param backfill: when and how a backfill runs.
    :param history: what is remembered of which keys are hot, for ``selection="history"``.
    :param journal: keeps that beyond this process; it is read when the cache is opened first.
    :param far: a store that processes share, behind this cache's memory and before the source.
    :param trigger: decides when to backfill, in place of ``miss_threshold`` and of the window in
        ``backfill``.
    :param store: where copies are, in place of a `MemoryStore` of ``capacity``.
    :param audit_sink: keeps the audit log beyond this process.
    :param audit_keep: audit records held in memory, 1 or more.
    :param observers: are called with each `async_backfill.events.Event`; what they raise is logged
        and goes no further.
    :param clock: seconds that never go back, for measuring loads.
    :param wall_clock: seconds since the epoch, for the audit log.
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
        backfill_batch: int = 10,
        max_backfills: int | None = None,
        permits: Permits | None = None,
        load: LoadPolicy | None = None,
        freshness: FreshnessPolicy | None = None,
        backfill: BackfillPolicy | None = None,
        history: HistoryPolicy | None = None,
        journal: Journal[K] | None = None,
        far: FarTier[K, V] | None = None,
        trigger: Trigger | None = None,
        store: BoundedStore[K, V] | None = None,
        audit_sink: AuditSink | None = None,
        audit_keep: int = 1000,
        observers: Iterable[Observer] = (),
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        if store is not None and capacity is not None:
            raise ConfigurationError("capacity", "belongs to the store; set it there, not here as well")
        if permits is not None and max_backfills is not None:
            raise ConfigurationError(
                "max_backfills", "belongs to the permits; set it there, not here as well"
            )
        self._counters = Counters()
        self._observers = tuple(observers)
        self._audit = AuditLog(
            keep=whole("audit_keep", audit_keep, least=1), wall_clock=wall_clock, report=self._audited
        )
        self._parts: Parts[K, V] = assemble(
            source,
            scan=scan,
            store=MemoryStore(capacity, eviction=eviction) if store is None else store,
            load=load or LoadPolicy(),
            freshness=freshness or FreshnessPolicy(),
            backfill=backfill or BackfillPolicy(),
            history=history or HistoryPolicy(),
            far=far,
            journal=journal,
            miss_threshold=miss_threshold,
            backfill_batch=backfill_batch,
            max_backfills=max_backfills,
            permits=permits,
            trigger=trigger,
            audit=self._audit,
            audit_sink=audit_sink,
            counters=self._counters,
            notify=self._notify if self._observers else None,
            use=self._use,
            clock=clock,
        )
        self._near = self._parts.near
        self._budget = self._parts.budget
        self._opening: Opening[K, V] | None = None
        self._peek: Callable[[K, Absent], V | Absent] = self._refuse_to_peek
        self._hit_path: HitPath[K, V] = make_hit_path(
            fresh_until=self._near.fresh_until,
            hit_counts=None if self._parts.heat is not None else self._near.hit_counts,
            touches=self._near.touch is not None or self._parts.heat is not None,
            clock=clock,
            counters=self._counters,
        )
        if type(self).get is BackfillCache.get:
            vars(self)["get"] = self._hit_path.get  # in place of the method, which would await it

    async def __aenter__(self) -> Self:
        # An opening of another event loop is one whose loop ended without closing it.
        if self._opening is not None and self._opening.is_of_this_loop():
            raise RuntimeError("the cache is already open; enter it once and share it")
        self._opening = await open_engine(self._parts)
        self._peek = self._near.peek
        self._use(self._near.touch)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        opening = self._opening
        self._hit_path.close()
        self._peek = self._refuse_to_peek
        if opening is None:
            return None
        try:
            return await opening.close(exc_type, exc, traceback)
        finally:
            self._opening = None

    @overload
    async def get(self, key: K) -> V | None: ...
    @overload
    async def get(self, key: K, default: D) -> V | D: ...
    async def get(self, key: K, default: object = None) -> object:
        """Return the value of ``key``, from the cache or else from the source; ``default`` if it is absent.

        A hit does not yield to the event loop.

        :raises LoadError: when the source failed; the next call tries again.
        :raises CacheClosedError: when the cache is not open, or closes first.
        """
        return await self._hit_path.get(key, default)

    async def fetch(self, key: K) -> V:
        """Return the value of ``key`` as `get` does, but raise `KeyNotFoundError` if it is absent."""
        value = await self.get(key, ABSENT)
        if value is ABSENT:
            raise KeyNotFoundError(f"the source has no key {key!r}", key=key)
        return value

    async def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those ``keys`` that exist, in their order, with few source calls.

        Each distinct key counts as one lookup.

        :raises LoadError: for the first key that failed, once all have ended; the others are cached.
        """
        engine = self._open()
        read = self._near.read
        found = {key: read(key, ABSENT) for key in keys}
        missing = [key for key, value in found.items() if value is ABSENT]
        self._counters.hits += len(found) - len(missing)
        if self._parts.heat is not None:
            self._parts.heat.hit([key for key, value in found.items() if value is not ABSENT])
        if missing:
            found.update(await engine.many_misses.answer(missing))
        return {key: value for key, value in found.items() if value is not ABSENT}

    @overload
    def peek(self, key: K) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: object = None) -> object:
        """Return the value of ``key`` if it is cached and fresh, else ``default``.

        Nothing is counted or loaded, and the key does not count as used.
        """
        value = self._peek(key, ABSENT)
        return default if value is ABSENT else value

    async def put(self, key: K, value: V) -> None:
        """Cache ``value`` for ``key``; it wins over any load or backfill of the key under way."""
        await self.put_many({key: value})

    async def put_many(self, items: Mapping[K, V]) -> None:
        """Cache ``items`` in their order; each wins over any load or backfill of its key under way.

        :raises StoreError: when they are cached here, but the store that processes share did not take them.
        """
        engine = self._open()
        engine.loader.locks.revoke(items)
        self._near.put_many(items)
        if engine.far is not None:
            await engine.far.writes.put(items)

    async def invalidate(self, key: K) -> None:
        """Remove ``key``; a load under way serves those who wait for it, but is not stored.

        :raises StoreError: when it was removed here, but maybe not from the store that processes share.
        """
        engine = self._open()
        engine.loader.locks.revoke((key,))
        self._near.delete_many((key,))
        if engine.far is not None:
            await engine.far.writes.delete((key,))

    async def clear(self) -> None:
        """Remove every key; loads under way serve those who wait for them, but are not stored.

        :raises StoreError: as `invalidate` does.
        """
        engine = self._open()
        engine.loader.locks.revoke_all()
        self._near.clear()
        engine.flushed()
        if engine.far is not None:
            await engine.far.writes.clear()

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

    async def force_backfill(self, *, by: str | None = None, reason: str | None = None) -> AuditRecord:
        """Run one backfill now, whatever the miss rate and without a permit; return its last record.

        It waits for a backfill under way. A backfill never raises: see ``status`` of the record.

        :raises ConfigurationError: when the cache was made without ``scan``, or ``by`` or ``reason`` is
            given and is no text.
        """
        backfiller = self._open().backfiller
        by = None if by is None else text("by", by)
        reason = None if reason is None else text("reason", reason)
        if backfiller is None:
            raise ConfigurationError("scan", "is None, so there are no keys to choose from; pass scan=...")
        return await backfiller.force(by, reason)

    async def approve_backfills(self, n: int, *, by: str, reason: str) -> AuditRecord:
        """Allow ``n`` more automatic backfills; ``by`` and ``reason`` go into the audit log.

        :raises ConfigurationError: when ``n`` is below 1, ``by`` or ``reason`` is empty, or there is
            no ``max_backfills``.
        :raises StoreError: when the permits of a fleet cannot be reached.
        """
        self._open()
        by, reason = text("by", by), text("reason", reason)
        await self._budget.grant(n)
        if self._parts.usefulness is not None:
            self._parts.usefulness.receipts.wake()
        return self._audit.add(
            Status.APPROVED,
            lookup=self._counters.lookups,
            keys=0,
            permits_left=self._budget.permits_left,
            by=by,
            reason=reason,
        )

    def is_ready(self, coverage: float = 0.9) -> bool:
        """Return whether ``coverage`` of the hot keys are cached, or no permit is left to load the others.

        Which keys are hot is taken when this is first asked after the cache was opened or cleared. For a
        readiness probe; with nothing known to be hot a cache is ready.

        :raises ConfigurationError: when the selection is not ``"history"``.
        """
        return self._open().readiness.is_ready(coverage)

    async def ready(self, coverage: float = 0.9) -> None:
        """Wait until `is_ready`, and start backfills until it is, so that a probe need not wait for traffic.

        :raises ConfigurationError: when the selection is not ``"history"``.
        """
        await self._open().readiness.wait(coverage)

    async def settle(self) -> None:
        """Wait until nothing loads or backfills, and the audit log has been written."""
        await self._open().settle()

    @property
    def stats(self) -> Stats:
        """What the cache has counted so far, as a frozen snapshot; also after it was closed."""
        opening = self._opening
        return snapshot(
            self._counters,
            size=len(self._near.store),
            in_flight=0 if opening is None else len(opening.engine.loader.locks),
            backfills=self._audit.backfills,
            permits_left=self._budget.permits_left,
            budget=self._budget.state,
            circuit=None if opening is None else opening.engine.loader.calling.circuit,
            audit_dropped=self._audit.dropped,
            far=None if self._parts.far_calls is None else self._parts.far_calls.stats(),
        )

    @property
    def audit_log(self) -> tuple[AuditRecord, ...]:
        """The latest decisions about backfills, oldest first; also after the cache was closed."""
        return self._audit.records

    def _use(self, touch: Callable[[K], object] | None) -> None:
        """Tell ``touch`` of hits from now on, unless the cache is closed."""
        if self._opening is not None and not self._opening.closing:
            self._hit_path.use(self._near.entries, touch, self._opening.engine.misses.answer)

    def _open(self) -> Engine[K, V]:
        if self._opening is None or self._opening.closing:
            raise CacheClosedError(CLOSED)
        return self._opening.engine

    def _refuse_to_peek(self, key: K, default: Absent) -> Absent:  # noqa: ARG002 - stands in for a store
        self._open()
        return default

    def _audited(self, record: AuditRecord) -> None:
        self._counters.count_decision(record.status)
        if self._opening is not None and self._opening.engine.writer is not None:
            self._opening.engine.writer.report(record)
        self._notify(BackfillAudited(record=record))

    def _notify(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                _LOGGER.exception("observer %r failed on %s", observer, type(event).__name__)
