"""Write changes to the far tier (L2) in the order in which they were made, the latest of each key."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from anyio import Event

from async_backfill._far.change_calls import ChangeCalls
from async_backfill._far.changes import LARGEST_CALL, Change, Confirmation, PendingChange, settle_all
from async_backfill._far.distrusted import Distrusted
from async_backfill._far.failed_clear import FailedClear
from async_backfill._far.sealed_changes import SealedChanges
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from async_backfill._common.log_lines import CacheLog
    from async_backfill._far.changes import PendingChanges
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._far.releases import Releases
    from async_backfill._loading.batch import Batch
    from async_backfill.contracts import Spawn
    from async_backfill.far_tier import FarTier
    from async_backfill.outcomes import Absent, Failed

_CLOSED: Final = "the cache closed before the far tier (L2) had the change; open it and change the key again"


class FarWrites(Generic[K, V]):
    """Queues changes for the store of ``tier``, and writes them in one task while there are any.

    Until an explicit change (a put, an invalidation, a clear) was written, or when that failed, this process
    does not read the key from the far tier; after a clear that failed, none until one succeeds.

    :param ttl: seconds that the store keeps a value.
    :param releases: releases the leases that are not ended here.
    :param spawn: starts a task that the cache owns.
    :param log: names the cache.
    """

    # One task, so that the store sees the changes of a key in their order; what an explicit change did not
    # reach is not trusted, or the next read would bring the old value back (decision 39 in notes.md).

    def __init__(
        self,
        tier: FarTier[K, V],
        calls: GuardedCalls,
        *,
        ttl: float | None,
        releases: Releases[K, V],
        spawn: Spawn,
        log: CacheLog,
    ) -> None:
        self._tier = tier
        self.sealed: SealedChanges[K, V] = SealedChanges(tier, calls)
        self._calls, self._releases = calls, releases
        self._change_calls: ChangeCalls[K, V] = ChangeCalls(
            tier, calls, ttl=ttl, releases=releases, now=self.sealed.now
        )
        self._spawn = spawn
        self._queued: PendingChanges[K, V] = {}
        self._running: PendingChanges[K, V] = {}
        self._clearing: list[Confirmation] = []
        failed_clear = FailedClear(self._change_calls, calls, spawn, log)
        self._distrusted = Distrusted[K](tier.max_queued, failed_clear)
        self._idle: Event | None = None
        self._is_closed = False

    @property
    def busy(self) -> bool:
        """Whether something is being written, or waits for it."""
        return self._idle is not None

    async def quiet(self) -> None:
        """Wait until everything was written, or that has failed."""
        while self._idle is not None:
            await self._idle.wait()

    def is_unsettled(self, key: K) -> bool:
        """Return whether the store may hold what is no longer true of ``key``."""
        if self._clearing or key in self._distrusted:
            return True
        changes = (self._queued.get(key), self._running.get(key))
        return any(item is not None and item.is_unsettled for item in changes)

    @property
    def all_settled(self) -> bool:
        """Whether `is_unsettled` is false for every key."""
        return not (self._clearing or self._distrusted or self._queued or self._running)

    def landed(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        """Write what ``batch`` brought from the source for ``keys``, unless leases are in use."""
        if self._tier.leases is not None or batch.error is not None:
            return
        self._keep(self.sealed.loaded(batch, keys))

    def leased(
        self,
        batch: Batch[K, V],
        values: Mapping[K, V],
        tokens: Mapping[K, bytes],
        told: Mapping[K, Absent | Failed],
    ) -> None:
        """Write ``values`` of ``batch`` under their leases, and end those of ``tokens`` without a value.

        :param told: what those who wait for a lease without a value get to know.
        """
        self._keep(self.sealed.leased(batch, values, tokens, told))

    def gone(self, keys: Collection[K]) -> None:
        """Remove the old values of ``keys``, which the source has no more."""
        self._keep({key: PendingChange(Change.GONE, ABSENT, outcome=ABSENT) for key in keys})

    def put(self, items: Mapping[K, V]) -> Confirmation:
        """Write ``items``, and tell the other caches; one that the store cannot keep is removed there."""
        return self._tell(self.sealed.put(items))

    def delete(self, keys: Collection[K]) -> Confirmation:
        """Remove ``keys``, and tell the other caches."""
        return self._tell({key: PendingChange(Change.DELETED, ABSENT) for key in keys})

    def clear(self) -> Confirmation:
        """Remove everything, and tell the other caches."""
        # What waits is overruled, and confirmed with the clear: until then nothing of it holds.
        self._clearing += [one for item in self._queued.values() for one in item.told]
        self._releases.drop(self._queued)
        self._queued.clear()
        self._clearing.append(confirmation := Confirmation(1))
        self._work()
        return confirmation

    async def confirmed(self, confirmation: Confirmation) -> None:
        """Wait until what was put or deleted is written.

        :raises StoreError: when that failed; the others may go on with what they have.
        """
        if confirmation.left > 0:
            if self._is_closed:
                raise CacheClosedError(_CLOSED)
            self._work()
        await confirmation.result()

    def distrust(self, key: K) -> None:
        """Do not read ``key`` from the store any more until its copy there has been removed."""
        self._distrusted.add(key)

    def forget(self, keys: Collection[K] | None) -> None:
        """Drop what was loaded and waits to be written of ``keys``; ``None`` means every key."""
        for key in tuple(self._queued) if keys is None else keys:
            if (item := self._queued.get(key)) and item.change is Change.LOADED and not item.told:
                del self._queued[key]

    def nudge(self, key: K) -> None:
        """Try again to remove what could not be removed before; ``key`` is any key."""
        if self._distrusted:
            self._distrusted.nudge(key)
            self._work()

    def stop(self) -> None:
        """Write nothing any more, and fail all who wait."""
        self._is_closed = True
        error = CacheClosedError(_CLOSED)
        for pending in (self._queued, self._running):
            settle_all(pending, error)
            self._releases.drop(pending)
        for confirmation in self._clearing:
            confirmation.settle(error)
        self._queued.clear()
        self._clearing.clear()

    def _keep(self, pending: PendingChanges[K, V]) -> None:
        room = self._tier.max_queued - len(self._queued)
        for key, item in pending.items():
            before = self._queued.get(key)
            if before is None:
                room -= 1
                if room < 0:
                    self._drop(key, item)
                    continue
            elif before.told and (self.sealed.is_guarded or item.change in {Change.LEASED, Change.GONE}):
                # An explicit change must be written, and it overrules leases and marks.
                self._drop(key, item)
                continue
            else:
                item.told = before.told
                self._releases.drop({key: before})
            self._queued[key] = item
        if pending:
            self._work()

    def _drop(self, key: K, item: PendingChange[V]) -> None:
        self._calls.unwritten += item.value is not ABSENT
        self._releases.drop({key: item})
        if item.is_unsettled:
            self._distrusted.add(key)

    def _tell(self, pending: PendingChanges[K, V]) -> Confirmation:
        confirmation = Confirmation(len(pending))
        for key, item in pending.items():
            before = self._queued.pop(key, None)
            item.told = [confirmation] if before is None else [*before.told, confirmation]
            self._releases.drop({} if before is None else {key: before})
            self._queued[key] = item
        self._work()
        return confirmation

    def _work(self) -> None:
        if self._idle is None and not self._is_closed:
            self._idle = Event()
            self._spawn(self._write_all)

    async def _write_all(self) -> None:
        try:
            await self._distrusted.remove(self._change_calls.remove, self._change_calls.publish)
            while self._clearing or self._queued:
                await (self._clear() if self._clearing else self._write_some())
        except BaseException:  # the whole cache is cancelled, and somebody may wait for this
            self.stop()
            raise
        finally:
            idle, self._idle = self._idle, None
            if idle is not None:
                idle.set()

    async def _write_some(self) -> None:
        """Write the changes that waited longest, as many as one call may have."""
        self._running = dict(islice(self._queued.items(), LARGEST_CALL))
        for key in self._running:
            del self._queued[key]
        told = {key: item for key, item in self._running.items() if item.told}
        try:
            failures = await self._change_calls.write(self._running)
            untold = await self._change_calls.announce(tuple(told)) if told else {}
            for key, item in self._running.items():
                if item.is_unsettled and key in failures:
                    self._distrusted.add(key)
                elif item.told:
                    self._distrusted.written(key, is_told=key not in untold)
                item.settle(failures.get(key) or untold.get(key))
        except BaseException:
            self._releases.drop(self._running)
            raise
        finally:
            self._running = {}
            for item in told.values():
                item.settle(CacheClosedError(_CLOSED))

    async def _clear(self) -> None:
        clearing = tuple(self._clearing)
        failure = await self._distrusted.clear()
        del self._clearing[: len(clearing)]
        for confirmation in clearing:
            confirmation.settle(failure)
