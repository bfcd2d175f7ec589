"""What is written to the far store: one key after the other in the order of the cache's own changes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic

from anyio import Event

from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError, StoreError
from async_backfill.far.distrusted import Distrusted
from async_backfill.far.errands import LARGEST_CALL, Change, Errand, Receipt, values_of
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from async_backfill.contracts import Spawn
    from async_backfill.far.calls import FarCalls
    from async_backfill.far.errands import Errands
    from async_backfill.far.tier import FarTier
    from async_backfill.loading.batch import Batch

_CLEARING: Final = 10.0
_CLOSED: Final = "the cache closed before the far store was told"


class FarWrites(Generic[K, V]):
    """Writes changes to the store of ``tier``, the latest of each key, in one task while there are any.

    :param ttl: seconds that the store keeps a value.
    :param spawn: starts a task that the cache owns.
    """

    def __init__(self, tier: FarTier[K, V], calls: FarCalls, *, ttl: float | None, spawn: Spawn) -> None:
        self._tier = tier
        self._calls = calls
        self._ttl = ttl
        self._spawn = spawn
        self._queued: Errands[K, V] = {}
        self._running: Errands[K, V] = {}
        self._clearing: list[Receipt] = []
        self._distrusted = Distrusted[K](tier.max_queued)
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
        return any(
            errand is not None and errand.told for errand in (self._queued.get(key), self._running.get(key))
        )

    @property
    def all_settled(self) -> bool:
        """Whether `is_unsettled` is false for every key."""
        return not (self._clearing or self._distrusted or self._queued or self._running)

    def landed(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        """Write what ``batch`` brought from the source for ``keys``, unless leases are in use."""
        if self._tier.leases is not None or batch.error is not None:
            return
        self._keep(
            {
                key: Errand(Change.LOADED, value)
                for key, value in batch.values(keys).items()
                if key not in batch.copies
            }
        )

    def leased(self, values: Mapping[K, V], tokens: Mapping[K, bytes]) -> None:
        """Write ``values`` under their leases, and end those of ``tokens`` that have no value."""
        self._keep(
            {key: Errand(Change.LEASED, values.get(key, ABSENT), token) for key, token in tokens.items()}
        )

    async def put(self, items: Mapping[K, V]) -> None:
        """Write ``items``, and tell the other caches.

        :raises StoreError: when that failed; the others may go on with what they have.
        """
        await self._tell({key: Errand(Change.PUT, value) for key, value in items.items()})

    async def delete(self, keys: Collection[K]) -> None:
        """Remove ``keys``, and tell the other caches; raises as `put` does."""
        await self._tell({key: Errand(Change.DELETED, ABSENT) for key in keys})

    async def clear(self) -> None:
        """Remove everything, and tell the other caches; raises as `put` does."""
        receipt = Receipt(1)
        for errand in self._queued.values():
            errand.settle(None)
        self._queued.clear()
        self._clearing.append(receipt)
        await self._wait(receipt)

    def forget(self, keys: Collection[K] | None) -> None:
        """Drop what was loaded and waits to be written of ``keys``; ``None`` means every key."""
        for key in tuple(self._queued) if keys is None else keys:
            errand = self._queued.get(key)
            if errand is not None and errand.change is Change.LOADED and not errand.told:
                del self._queued[key]

    def nudge(self) -> None:
        """Try to remove what could not be removed before, if there is something."""
        if self._distrusted:
            self._work()

    def stop(self) -> None:
        """Write nothing any more, and let nobody wait."""
        self._is_closed = True
        error = CacheClosedError(_CLOSED)
        for errand in (*self._queued.values(), *self._running.values()):
            errand.settle(error)
        for receipt in self._clearing:
            receipt.settle(error)
        self._queued.clear()
        self._clearing.clear()

    def _keep(self, errands: Errands[K, V]) -> None:
        room = self._tier.max_queued - len(self._queued)
        for key, errand in errands.items():
            before = self._queued.get(key)
            if before is None:
                room -= 1
                if room < 0:
                    self._calls.unwritten += errand.value is not ABSENT
                    continue
            elif errand.change is Change.LEASED:
                # An explicit change must be written, and it overrules the lease.
                self._calls.unwritten += errand.value is not ABSENT
                continue
            else:
                errand.told = before.told
            self._queued[key] = errand
        if errands:
            self._work()

    async def _tell(self, errands: Errands[K, V]) -> None:
        if not errands:
            return
        receipt = Receipt(len(errands))
        for key, errand in errands.items():
            before = self._queued.pop(key, None)
            errand.told = [receipt] if before is None else [*before.told, receipt]
            self._queued[key] = errand
        await self._wait(receipt)

    async def _wait(self, receipt: Receipt) -> None:
        if self._is_closed:
            raise CacheClosedError(_CLOSED)
        self._work()
        await receipt.done.wait()
        if receipt.error is not None:
            raise type(receipt.error)(*receipt.error.args) from receipt.error.__cause__

    def _work(self) -> None:
        if self._idle is None and not self._is_closed:
            self._idle = Event()
            self._spawn(self._write_all)

    async def _write_all(self) -> None:
        try:
            await self._distrusted.remove(self._remove)
            while self._clearing or self._queued:
                if self._clearing:
                    await self._clear()
                else:
                    await self._write_some()
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
        told = {key: errand for key, errand in self._running.items() if errand.told}
        try:
            failures = await self._write(self._running)
            if told and (failure := await self._publish(tuple(told))) is not None:
                failures = dict.fromkeys(told, failure) | failures
            for key, errand in told.items():
                if key in failures:
                    self._distrusted.add(key)
                else:
                    self._distrusted.discard(key)
                errand.settle(failures.get(key))
        finally:
            self._running = {}
            for errand in told.values():
                errand.settle(CacheClosedError(_CLOSED))

    async def _write(self, errands: Errands[K, V]) -> dict[K, StoreError]:
        """Write ``errands``; return the failures of those that failed."""
        store, leases = self._tier.store, self._tier.leases
        failures: dict[K, StoreError] = {}
        deleted = [key for key, errand in errands.items() if errand.change is Change.DELETED]
        if deleted:
            failure = await self._call("delete", lambda: store.delete_many(deleted))
            failures.update(dict.fromkeys(deleted, failure) if failure else {})
        values = values_of(errands, Change.PUT, Change.LOADED)
        if values:
            failure = await self._call("set", lambda: store.set_many(values, ttl=self._ttl))
            failures.update(dict.fromkeys(values, failure) if failure else {})
            self._calls.unwritten += len(values) if failure else 0
            self._calls.written += 0 if failure else len(values)
        if leases is not None:
            await self._end_leases(errands)
        return failures

    async def _end_leases(self, errands: Errands[K, V]) -> None:
        leases = self._tier.leases
        tokens = {key: errand.token for key, errand in errands.items() if errand.change is Change.LEASED}
        if leases is None or not tokens:
            return
        values = values_of(errands, Change.LEASED)
        empty = {key: token for key, token in tokens.items() if key not in values}
        if values:
            kept: list[Collection[K]] = []

            async def write() -> None:
                kept.append(await leases.set_many(values, tokens, ttl=self._ttl))

            await self._call("set under lease", write)
            written = len(kept[0]) if kept else 0
            self._calls.written += written
            self._calls.unwritten += len(values) - written
        if empty:
            await self._call("release", lambda: leases.release_many(empty))

    async def _clear(self) -> None:
        clearing = tuple(self._clearing)
        failure = await self._call("clear", self._tier.store.clear, within=_CLEARING)
        failure = failure or await self._publish(None)
        if failure is None:
            self._distrusted.clear()
        del self._clearing[: len(clearing)]
        for receipt in clearing:
            receipt.settle(failure)

    async def _remove(self, keys: Sequence[K]) -> StoreError | None:
        failure = await self._call("delete", lambda: self._tier.store.delete_many(keys))
        return failure or await self._publish(keys)

    async def _publish(self, keys: Sequence[K] | None) -> StoreError | None:
        invalidations = self._tier.invalidations
        if invalidations is None:
            return None
        return await self._call("publish", lambda: invalidations.publish(keys))

    async def _call(
        self, what: str, call: Callable[[], Awaitable[Any]], *, within: float | None = None
    ) -> StoreError | None:
        try:
            await self._calls.call(what, call, within=within)
        except StoreError as error:
            return error
        return None
