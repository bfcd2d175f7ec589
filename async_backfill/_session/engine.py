"""What a cache does while it is open: write, forget, settle, and start and end its parts."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import move_on_after

from async_backfill._loading.batch import BatchState
from async_backfill._loading.cycles import running_batch
from async_backfill._session.sweeping import sweep_until_cancelled
from async_backfill._session.wiring import (
    make_backfiller,
    make_loader,
    make_misses,
    make_readiness,
    make_selection,
    open_far,
)
from async_backfill.backfill._audit.writer import AuditWriter
from async_backfill.backfill._history.selection import HottestFirst
from async_backfill.backfill._history.writer import JournalWriter
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from async_backfill._session.parts import Parts
    from async_backfill.contracts import Spawn
    from async_backfill.outcomes import Absent, Failed

_LOGGER: Final = logging.getLogger("async_backfill.journal")
_LAST_WRITE: Final = 5.0
_AUDIT_INTERVAL: Final = 1.0


class Engine(Generic[K, V]):
    """One opening of a cache.

    :param spawn: starts a task in the cache's task group.
    """

    def __init__(self, parts: Parts[K, V], spawn: Spawn) -> None:
        self._parts = parts
        self._spawn = spawn
        self._journal_writer: JournalWriter[K] | None = None
        self.far = open_far(parts, spawn)
        self.loader = make_loader(parts, self.far, spawn)
        selection = make_selection(parts, self.loader)
        self._hottest = selection if isinstance(selection, HottestFirst) else None
        self.backfiller = make_backfiller(parts, self.loader, selection, spawn)
        self.misses, self.many_misses = make_misses(parts, self.loader, self.backfiller)
        self.readiness = make_readiness(parts, self.backfiller)
        sink = parts.settings.audit_sink
        self.writer = None if sink is None else AuditWriter(sink, interval=_AUDIT_INTERVAL, spawn=spawn)

    async def start(self) -> None:
        """Read the journal, if there is one and nothing is known yet; one that is damaged is reported.

        Backfills that were at rest get another chance.
        """
        parts = self._parts
        if parts.near.fresh is not None:
            self._spawn(partial(sweep_until_cancelled, parts.near.fresh))
        if self.far is not None:
            self.far.listen(self._forget)
        await parts.budget.refresh()
        if parts.usefulness is not None:
            parts.usefulness.receipts.wake()
        journal, heat = parts.settings.journal, parts.heat
        if journal is None or heat is None:
            return
        if heat.is_blank:
            try:
                heats = await journal.load()
            except Exception as error:  # noqa: BLE001 - a cache without history is better than none
                _LOGGER.warning("the journal of hot keys is ignored: %s: %s", type(error).__name__, error)
            else:
                if heats is not None:
                    heat.restore(heats)
        self._journal_writer = JournalWriter(
            journal, heat.changed_heats, interval=parts.settings.history.save_every, spawn=self._spawn
        )

    async def close(self) -> None:
        """End every load with `CacheClosedError`, then give audit sink and journal a last chance to write."""
        if self._parts.usefulness is not None:
            self._parts.usefulness.write_receipts()
        self.loader.stop()
        self.readiness.stop()
        if self.backfiller is not None:
            self.backfiller.stop()
        if self.far is not None:
            await self.far.close(_LAST_WRITE)
        with move_on_after(_LAST_WRITE, shield=True):
            if self.backfiller is not None:
                await self.backfiller.quiet()
            if self.writer is not None:
                await self.writer.flush()
        if self._journal_writer is not None:
            with move_on_after(_LAST_WRITE, shield=True):
                await self._journal_writer.flush()

    async def put_many(self, items: Mapping[K, V], ttl: float | None) -> None:
        """Keep ``items`` here and in the far tier (L2); they win over loads under way.

        What cannot be kept here is written there all the same, or its old value would come back from it.
        With a ``ttl`` of their own they are removed there, because other readers would not know it.
        """
        self.loader.locks.revoke(items)
        try:
            self._parts.near.put_many(items, ttl)
        finally:
            if self.far is not None and ttl is None:
                await self.far.writes.put(items)
            elif self.far is not None:
                await self.far.writes.delete(items.keys())

    async def refresh(self, key: K) -> V | Absent | Failed:
        """Load ``key`` from the source, with a call that begins now or later; return what came of it."""
        loader, queue = self.loader, self.loader.batch_queue
        queue.require_open()
        if self.far is not None:
            self.far.writes.distrust(key)
        under_way = loader.locks.holder(key)
        # Inside a load nothing is revoked, or one that refreshes its own key would begin another, for ever.
        if under_way is not None and under_way.state is BatchState.LOADING and running_batch.get() is None:
            loader.locks.revoke((key,))
        while True:
            batch = queue.join(key)[0] if key in loader.locks else queue.join_refresh(key)
            await loader.wait({batch: key})
            if key in batch.keys or batch.error is not None:  # else a live caller took the key over
                return batch.outcome(key)

    async def invalidate_many(self, keys: Collection[K]) -> None:
        """Remove ``keys`` here and from the far tier (L2); loads under way are not kept."""
        self.loader.locks.revoke(keys)
        self._parts.near.delete_many(keys)
        if self.far is not None:
            await self.far.writes.delete(keys)

    async def clear(self) -> None:
        """Remove everything here and from the far tier (L2); loads under way are not kept."""
        self.loader.locks.revoke_all()
        self._parts.near.clear()
        self._flushed()
        if self.far is not None:
            await self.far.writes.clear()

    async def settle(self) -> None:
        """Wait until nothing is loading and nothing backfills, and the audit is written."""
        far = self.far
        while (
            self.loader.busy
            or (self.backfiller is not None and self.backfiller.busy)
            or (far is not None and far.writes.busy)
        ):
            await self.loader.quiet()
            if self.backfiller is not None:
                await self.backfiller.quiet()
            if far is not None:
                await far.writes.quiet()
        if self.writer is not None:
            await self.writer.flush()

    def _forget(self, keys: Sequence[K] | None) -> None:
        """Forget what another process changed: ``keys``, or everything."""
        near, locks = self._parts.near, self.loader.locks
        if self.far is not None:
            self.far.writes.forget(keys)
        if keys is not None:
            locks.revoke(keys)
            near.delete_many(keys)
        elif len(near.store) or locks:
            locks.revoke_all()
            near.clear()
            self._flushed()

    def _flushed(self) -> None:
        """Take note that the cache was emptied, so that what was true before is not held against it."""
        for trigger in self._parts.by_rate:
            trigger.start_again(self._parts.counters.lookups)
        if self._parts.heat is not None:
            self._parts.heat.flushed()
        if self._hottest is not None:
            self._hottest.start_again()
        self.readiness.flushed()
