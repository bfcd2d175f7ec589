"""What a cache does while it is open: refresh, forget, settle, and start and end its parts."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.bounded_call import bounded
from async_backfill._common.log_lines import CacheLog
from async_backfill._common.weak_calls import weakly
from async_backfill._session.access import checking_parts, tell_missing_rights
from async_backfill._session.control.fleet import FleetOrders
from async_backfill._session.control.orders import Orders
from async_backfill._session.journal import OpenJournal
from async_backfill._session.recovering import make_backfiller, make_recovery, make_selection, make_warming
from async_backfill._session.refreshing import refresh
from async_backfill._session.sweeping import sweep_until_cancelled
from async_backfill._session.wiring import make_loader, make_misses, open_far
from async_backfill._session.writes import Writes
from async_backfill.backfill._audit.writer import AuditWriter
from async_backfill.backfill._history.recovery import RecoveryTrigger
from async_backfill.backfill._history.selection import HottestFirst
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from async_backfill._far.changes import Confirmation
    from async_backfill._session.opened_in import OpenedIn
    from async_backfill._session.parts import Parts
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.contracts import ControlOrder, Spawn
    from async_backfill.outcomes import Absent, Failed

_FAR_LOGGER: Final = logging.getLogger("async_backfill.far")
_OPENING: Final = 5.0
_LAST_WRITE: Final = 5.0
_LAST_SNAPSHOT: Final = 10.0
_AUDIT_INTERVAL: Final = 1.0


class Engine(Generic[K, V]):
    """One opening of a cache.

    :param spawn: starts a task of the cache.
    :param opened_in: the event loop that this must be used in.
    """

    def __init__(self, parts: Parts[K, V], spawn: Spawn, opened_in: OpenedIn) -> None:
        self._parts = parts
        self.spawn = spawn
        self._journal: OpenJournal[K] | None = None
        self.far = open_far(parts, spawn)
        self.loader = make_loader(parts, self.far, spawn)
        self.writes: Writes[K, V] = Writes(parts, self.loader, None if self.far is None else self.far.writes)
        selection = make_selection(parts, self.loader)
        self._hottest = selection if isinstance(selection, HottestFirst) else None
        self._recovery = recovery = make_recovery(parts)
        self.backfiller = make_backfiller(parts, self.loader, selection, recovery, spawn)
        parts.standing.running = None if self.backfiller is None else self.backfiller.running
        trigger = parts.trigger if self._hottest is None else RecoveryTrigger(parts.trigger, recovery)
        self.misses, self.answer_many = make_misses(parts, self.loader, self.backfiller, trigger, opened_in)
        self.warming = make_warming(parts, self.backfiller, selection, recovery, spawn)
        self.orders: Orders[K, V] = Orders(
            parts,
            backfiller=self.backfiller,
            warming=self.warming,
            recovery=recovery,
            writes=self.writes,
            turn=self._turn,
            forget=self._forget,
        )
        self._fleet_orders: FleetOrders[K, V] | None = None
        if parts.settings.control is not None:
            self._fleet_orders = FleetOrders(
                parts.settings.control,
                self.orders,
                parts.standing,
                clock=parts.settings.clock,
                spawn=spawn,
                cache=parts.settings.name,
            )
        sink, name = parts.settings.audit_sink, parts.settings.name
        self.writer = None
        if sink is not None:
            self.writer = AuditWriter(sink, interval=_AUDIT_INTERVAL, spawn=spawn, cache=name)

    async def start(self) -> None:
        """Read the journal, if there is one and nothing is known yet; one that is damaged is reported.

        Backfills that were at rest get another chance.
        """
        parts = self._parts
        if parts.near.fresh is not None:
            self.spawn(partial(sweep_until_cancelled, parts.near.fresh, parts.settings.name))
        if self.far is not None:
            self.far.listen(weakly(self._forget))
        if checking := checking_parts(parts.settings):
            self.spawn(partial(tell_missing_rights, checking, parts.settings.name))
        if parts.fleet is not None:
            await self._join_fleet(parts.fleet)
        if parts.usefulness is not None:
            parts.usefulness.receipts.wake()
        if parts.heat is not None:
            self._recovery.reopened(has_history=parts.heat.has_history)
        if parts.settings.journal is not None and parts.heat is not None:
            self._journal = OpenJournal(
                parts, parts.settings.journal, parts.heat, self._recovery, self._hottest, self.spawn
            )
            await self._journal.open()
        if parts.snapshots is not None:
            await parts.snapshots.open(self.loader, self.far, self.spawn)
        await self._begin()

    async def give(self, order: ControlOrder) -> Any:
        """Carry ``order`` out, here and in the fleet; return what its verb returns."""
        is_of_permits = self._parts.fleet is not None and order.verb in {"approve", "revoke"}
        if self._fleet_orders is None or is_of_permits:  # permits that are shared tell the others
            return await self.orders.carry_out(order)
        return await self._fleet_orders.give(order)

    async def _begin(self) -> None:
        """Serve, unless the cache is off; then begin to warm it, if that is wanted."""
        if self._parts.standing.is_off:
            self._turn(True)
        if self._fleet_orders is not None:
            await self._fleet_orders.join()
        if self._parts.settings.readiness.warm_on_open:
            self.warming.begin()

    def _turn(self, off: bool) -> None:  # noqa: FBT001 - all that it is about
        """Keep nothing while the cache is ``off``, and answer from the source; begin anew when it is not."""
        self._parts.near.is_off = off
        self.misses.turn(off=off)
        if self.far is not None:
            self.far.turn(off=off)
        if off:  # who comes now must not get what a load from before finds in the far tier
            self._empty()
        else:
            self._flushed()

    async def _join_fleet(self, fleet: FleetBudget) -> None:
        fleet.spawn = self.spawn
        fleet.heard = weakly(self.orders.heard)
        self.spawn(fleet.watch)
        ended = await bounded(fleet.refresh, _OPENING, self.spawn)
        if ended.stopped:
            log = CacheLog(_FAR_LOGGER, self._parts.settings.name)
            log.warning("no backfill is started: the permits took longer than %s s", _OPENING)

    async def close(self) -> None:
        """End every load with `CacheClosedError`, then give audit sink and journal a last chance to write."""
        if self._parts.usefulness is not None:
            self._parts.usefulness.write_receipts()
        self.loader.stop()
        self.warming.stop()
        if self.backfiller is not None:
            self.backfiller.stop()
        if self.far is not None:
            await self.far.close(_LAST_WRITE)
        await self._last_write(self._write_audit)
        if self._journal is not None:
            await self._last_write(self._journal.flush)
            self._journal.close()
        if self._parts.snapshots is not None:
            await self._last_write(self._parts.snapshots.close, _LAST_SNAPSHOT)
        if self._parts.fleet is not None:
            self._parts.fleet.spawn = None  # it knows the context and all tasks of this opening

    async def _write_audit(self) -> None:
        if self.backfiller is not None:
            await self.backfiller.running.quiet()
        if self.writer is not None:
            await self.writer.flush()

    async def _last_write(self, write: Callable[[], Awaitable[None]], within: float = _LAST_WRITE) -> None:
        """Await ``write()`` for so many seconds at the most, whoever is cancelled meanwhile."""
        ended = await bounded(write, within, self.spawn, shield=True)
        if ended.error is not None and not ended.stopped:
            raise ended.error

    async def refresh(self, key: K) -> V | Absent | Failed:
        """Load ``key`` from the source, with a call that begins now or later; return what came of it."""
        return await refresh(key, self.loader, self.far)

    def invalidate_soon(self, keys: Collection[K] | None) -> None:
        """Remove ``keys`` here now, ``None`` for all, and in the background from what is not in memory."""
        if keys is None:
            self._clear_now()
        else:
            self.writes.invalidate_now(keys)
        if self._parts.snapshots is not None:
            self.spawn(self._parts.snapshots.logged)

    def _empty(self) -> None:
        self.writes.cleared()
        self.loader.locks.revoke_all()
        self._parts.near.clear()
        self._flushed()
        self._parts.reports.invalidated(None)

    def _clear_now(self) -> Confirmation | None:
        self._empty()
        return None if self.far is None else self.far.writes.clear()

    async def clear(self) -> None:
        """Remove everything here and from the far tier (L2); loads under way are not kept."""
        told = self._clear_now()
        if self.far is not None and told is not None:
            await self.far.writes.confirmed(told)
        if self._parts.snapshots is not None:
            await self._parts.snapshots.logged()

    async def settle(self) -> None:
        """Wait until nothing is loading and nothing backfills, and the audit is written."""
        far = self.far
        while (
            self.loader.busy
            or (self.backfiller is not None and self.backfiller.running)
            or (far is not None and far.writes.busy)
        ):
            await self.loader.quiet()
            if self.backfiller is not None:
                await self.backfiller.running.quiet()
            if far is not None:
                await far.writes.quiet()
        if self.writer is not None:
            await bounded(self.writer.flush, _LAST_WRITE, self.spawn)

    def _forget(self, keys: Sequence[K] | None) -> None:
        """Forget what another process changed: ``keys``, or everything."""
        near, locks = self._parts.near, self.loader.locks
        self.writes.heard(keys)
        if self.far is not None:
            self.far.writes.forget(keys)
        if keys is not None:
            locks.revoke(keys)
            near.delete_many(keys)
            self._parts.reports.invalidated(keys, elsewhere=True)
        elif len(near.store) or locks:
            locks.revoke_all()
            near.clear()
            self._flushed()
            self._parts.reports.invalidated(None, elsewhere=True)
        elif self._parts.snapshots is not None:  # one that is being restored
            near.clear()

    def _flushed(self) -> None:
        """Take note that the cache was emptied, so that what was true before is not held against it."""
        for trigger in self._parts.by_rate:
            trigger.start_again(self._parts.counters.lookups)
        if (heat := self._parts.heat) is not None:
            heat.flushed()
            self._recovery.emptied(has_history=heat.has_history, is_vouched_for=True)
        if self._hottest is not None:
            self._hottest.start_again()
        self.warming.flushed()
