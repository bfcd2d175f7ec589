"""The parts of a far tier (L2) while a cache is open: reads, writes, and the invalidations of others."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import Event, move_on_after, sleep

from async_backfill._common.bounded_call import bounded
from async_backfill._common.log_lines import CacheLog
from async_backfill._far.lease_waits import LeaseWaits, UsualTime
from async_backfill._far.leasing import Leasing
from async_backfill._far.read_through import ReadThrough
from async_backfill._far.reads import FarReads
from async_backfill._far.releases import Releases
from async_backfill._far.traced_calls import TracedCalls
from async_backfill._far.traced_writes import TracedWrites
from async_backfill._far.writes import FarWrites
from async_backfill.contracts import K, SharedInvalidations, V
from async_backfill.errors import StoreError
from async_backfill.outcomes import Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._far.claims import Claim
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_calls import BatchCalls
    from async_backfill._loading.parts import BatchParts
    from async_backfill.contracts import Invalidations, Spawn
    from async_backfill.far_tier import FarTier

_LOGGER: Final = logging.getLogger("async_backfill.far")
_PAUSE: Final = 1.0


class OpenTier(Generic[K, V]):
    """Wires up the reads, the writes and the invalidations of ``tier``.

    :param calls: calls the tier's store, with a timeout and a circuit breaker.
    :param ttl: seconds for which a value stays fresh in memory; ``None`` for ever.
    :param stale_for: seconds after that in which it may still be served when its load fails.
    :param seconds_left: returns how long a key stays fresh in memory; ``None`` when nothing expires.
    :param patience: seconds to wait in all for the loads of other processes; ``None`` for no limit.
    :param spawn: starts a task that the cache owns.
    :param cache: its name, for the log.
    """

    def __init__(
        self,
        tier: FarTier[K, V],
        calls: GuardedCalls,
        *,
        ttl: float | None,
        stale_for: float,
        seconds_left: Callable[[K], float] | None,
        patience: float | None,
        spawn: Spawn,
        cache: str | None,
    ) -> None:
        shared: object = tier.invalidations
        if SharedInvalidations in type(shared).__mro__:
            own = shared.of_one_cache()  # type: ignore[attr-defined] # declared, not probed for
            tier = replace(tier, invalidations=own)
        self._tier = tier
        self._calls = calls
        self.ttl = ttl if tier.ttl is None else tier.ttl
        self._spawn = spawn
        self._hears = Event()
        self._log = CacheLog(_LOGGER, cache)
        kept = None if self.ttl is None else self.ttl + stale_for
        self._reads: FarReads[K, V] = FarReads(
            tier.store, calls, ttl=self.ttl, stale_for=stale_for, seconds_left=seconds_left
        )
        self._usual = UsualTime(tier.lease_wait, patience)
        self._claims: dict[Batch[K, V], Claim[K]] = {}
        self._releases: Releases[K, V] = Releases(tier.leases, calls, most=tier.max_queued, spawn=spawn)
        self._leasing: Leasing[K, V] | None = None
        if tier.leases is not None:
            self._leasing = Leasing(tier.leases, calls, self._releases)
        kind: Callable[..., FarWrites[K, V]] = TracedWrites if isinstance(calls, TracedCalls) else FarWrites
        self.writes = kind(tier, calls, ttl=kept, releases=self._releases, spawn=spawn, log=self._log)

    def before(self, source_calls: BatchCalls[K, V], parts: BatchParts[K, V]) -> ReadThrough[K, V]:
        """Return what loads batches: from the far tier first, the rest from the source."""
        waits: LeaseWaits[K, V] | None = None
        if self._tier.leases is not None and self._leasing is not None:
            waits = LeaseWaits(
                self._tier.leases,
                parts,
                self._claims,
                reads=self._reads,
                leasing=self._leasing,
                calls=self._calls,
                usual=self._usual,
                spawn=self._spawn,
            )
        return ReadThrough(
            source_calls,
            parts,
            self._claims,
            reads=self._reads,
            writes=self.writes,
            leasing=self._leasing,
            waits=waits,
        )

    def landed(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        """Queue what follows for the far tier from ``batch``, which has just landed.

        :param keys: those of its keys whose lock it still holds.
        """
        claim = self._claims.pop(batch, None)
        try:
            self.writes.landed(batch, keys)
            if claim is not None:
                claim.settle(batch, self.writes)
        finally:
            self.writes.sealed.landed(batch)

    async def held(self, keys: Sequence[K]) -> Mapping[K, tuple[V, float]] | None:
        """Return the values that it holds of ``keys``, each with the seconds for which it stays fresh.

        ``None`` when it did not answer.
        """
        look = await self._reads.look(keys, LoadCause.BACKFILL)
        if look.failed:
            return None
        return {
            key: (value, look.copies[key])
            for key, value in look.found.items()
            if not isinstance(value, Failed) and not self.writes.is_unsettled(key)
        }

    def turn(self, *, off: bool) -> None:
        """Read nothing while the cache is ``off``; what callers change is removed from it as ever."""
        self._reads.is_off = off

    async def pass_over(self, key: K) -> None:
        """See to it that the next load of ``key`` asks the source, and that what it finds is written.

        With leases the copy is removed first, so that a lease can be had, without which nothing is written;
        with a guard as well, so that the load begins later.
        """
        if self._tier.leases is None and self._tier.guarded is None:
            self.writes.distrust(key)
            return
        with suppress(StoreError):  # then the key is distrusted
            await self.writes.confirmed(self.writes.delete((key,)))

    def listen(self, forget: Callable[[Sequence[K] | None], None]) -> None:
        """Call ``forget`` with the keys that other processes change, from now on; ``None`` means every key.

        It is called with ``None`` at once: changes before this moment may have been missed.
        """
        if self._tier.invalidations is None:
            self._hears.set()
            return

        def hear(keys: Sequence[K] | None) -> None:
            forget(keys)
            if keys is None:
                self._hears.set()

        forget(None)
        self._spawn(partial(_listen, self._tier.invalidations, hear, self._log))

    async def hears(self) -> None:
        """Wait until the invalidations of others are heard, if that is told, for a second at the most."""
        with move_on_after(_PAUSE):
            await self._hears.wait()

    async def close(self, within: float) -> None:
        """Write all pending changes, for ``within`` seconds at the most, and stop."""
        try:
            with move_on_after(within, shield=True):
                if self._leasing is not None:
                    await self._leasing.quiet()
                await self.writes.quiet()
        finally:
            self.writes.stop()
        self._calls.run_in(None)
        await bounded(self._releases.close, within, self._spawn, shield=True)


async def _listen(
    invalidations: Invalidations[K], forget: Callable[[Sequence[K] | None], None], log: CacheLog
) -> None:
    # After each break everything is forgotten, or a missed message would leave an old value in memory:
    # decision 37 in notes.md.
    while True:
        try:
            await invalidations.listen(forget)
        except Exception:
            log.exception("listening for invalidations failed; the next try is in %s s", _PAUSE)
        forget(None)
        await sleep(_PAUSE)
