"""What an operator does with a cache: open and close it, watch it, approve its backfills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self

from async_backfill._common.validation import text
from async_backfill._common.weak_calls import weakly
from async_backfill._lookup.answering import CLOSED
from async_backfill._lookup.copies import copying_peek
from async_backfill._lookup.counters import snapshot
from async_backfill._session.control.control import Control
from async_backfill._session.opened_in import OPEN_ELSEWHERE
from async_backfill._session.opening import Opening
from async_backfill._session.parts import build_parts
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError, ConfigurationError
from async_backfill.stores.weighed import WeighedStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from async_backfill._session.engine import Engine
    from async_backfill._session.settings import Settings
    from async_backfill._session.snapshots.snapshots import Snapshots
    from async_backfill.backfill.readiness import Readiness
    from async_backfill.outcomes import Absent
    from async_backfill.records import AuditRecord, SnapshotStats
    from async_backfill.stats import Stats


class Operations(Generic[K, V]):
    """The half of a cache that its operator uses; the other half reads and writes keys.

    :raises ConfigurationError: when a setting is outside what is allowed.
    """

    def __init__(self, settings: Settings[K, V]) -> None:
        self._parts = build_parts(settings)
        self._near = self._parts.near
        self._opening: Opening[K, V] | None = None
        self._closed_because = CLOSED
        self._peek: Callable[[K, Absent], V | Absent] = self._refuse_to_peek
        self._parts.reports.made(self)

    async def __aenter__(self) -> Self:
        before = self._opening
        if before is not None and not before.is_over:
            if not before.opened_in.is_here():
                raise RuntimeError(OPEN_ELSEWHERE)
            what = "is being closed; wait until it is" if before.is_closing else "is already open"
            raise RuntimeError(f"the cache {what}; enter it once and share it")
        # Before anything is awaited, so that nobody else opens it as well.
        self._opening = opening = Opening(self._parts, weakly(self._shut))
        try:
            await opening.start()
        except BaseException:
            if self._opening is opening:
                self._opening = None
            raise
        copy, peek = self._parts.settings.copy, self._near.peek
        self._peek = peek if copy is None else copying_peek(peek, copy)
        near, misses = self._near, opening.engine.misses
        self._parts.hit_path.open(near.entries, near.touch, misses, near.read)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close the cache; on asyncio any task may, on trio the one that opened it.

        :raises RuntimeError: when it is open in another event loop, or on trio in another task.
        """
        opening = self._opening
        if opening is None:
            return None
        if opening.opened_in.is_over():  # there is nothing left to close
            self._opening = None
            return None
        opening.opened_in.require_may_close()
        self._shut(CLOSED)
        try:
            return await opening.close(exc_type, exc, traceback)
        finally:
            if self._opening is opening:
                self._opening = None

    async def force_backfill(self, *, by: str | None = None, reason: str | None = None) -> AuditRecord:
        """Run one backfill now, whatever the miss rate and without a permit; return its last record.

        It waits for a backfill under way. A backfill never raises: see ``status`` of the record.

        :raises ConfigurationError: when the cache was made without ``scan``, or is off, or ``by`` or
            ``reason`` is given and is no text.
        """
        backfiller = self._open().backfiller
        by = None if by is None else text("by", by)
        reason = None if reason is None else text("reason", reason)
        if backfiller is None:
            raise ConfigurationError("scan", "is None, so there are no keys to choose from; pass scan=...")
        if self._parts.standing.is_off:
            raise ConfigurationError("control", f"{self._parts.standing.why_no_backfill()}: turn it on first")
        return await backfiller.force(by, reason)

    async def approve_backfills(self, n: int, *, by: str, reason: str) -> AuditRecord:
        """Allow ``n`` more automatic backfills; ``by`` and ``reason`` go into the audit log.

        :raises ConfigurationError: when ``n`` is below 1, ``by`` or ``reason`` is empty, or there is
            no ``max_backfills``.
        :raises StoreError: when the permits of a fleet cannot be reached.
        """
        return await self.control.approve(n, by=by, reason=reason)

    @property
    def control(self) -> Control[K, V]:
        """Orders to the running cache: pause its backfills, turn it off, retune it, explain a key."""
        return Control(self._parts, self._open)

    def is_ready(self, coverage: float | None = None) -> bool:
        """Return whether the cache may take traffic: ``coverage`` of the hot keys were cached, or it gave up.

        For a readiness probe, in constant time. The first question begins to load what was hot, in the
        background, and once it is ``True`` it stays so until the cache is emptied or opened anew; with
        nothing known to be hot it is ``True`` at once. `readiness` says more.

        :param coverage: share of the hot keys, 0.0 to 1.0; ``None`` for that of the setting ``readiness``.
        :raises ConfigurationError: when the selection is not ``"history"``.
        """
        return self._open().warming.is_ready(coverage)

    async def ready(self, coverage: float | None = None) -> None:
        """Wait until `is_ready`; at the latest after ``ReadinessPolicy.within`` it gives up, and returns.

        :raises ConfigurationError: when the selection is not ``"history"``.
        """
        await self._open().warming.wait(coverage)

    @property
    def readiness(self) -> Readiness:
        """Whether the cache is warming, ready, or gave up, and why; asking is what `is_ready` is.

        :raises ConfigurationError: when the selection is not ``"history"``.
        """
        return self._open().warming.readiness()

    def peek_readiness(self) -> Readiness | None:
        """Return what `readiness` says, but begin nothing.

        ``None`` while the cache is closed, with another selection, and before anybody has asked.
        """
        opening = self._opening
        return opening.engine.warming.peek() if opening is not None and opening.is_open else None

    async def save_snapshot(self) -> SnapshotStats:
        """Save a snapshot now, beside live traffic; return what `stats` says of it.

        :raises SnapshotError: when it was not saved; the text says why, and the older one is still there.
        :raises ConfigurationError: when the cache has no ``snapshot``.
        """
        self._open()
        return await self._snapshots().save()

    def stop_restoring(self) -> None:
        """Restore no more of a snapshot, and load nothing again for it; what has been restored stays.

        Values that are served as stale go when ``SnapshotFile.stale_for`` is over, as ever.

        :raises ConfigurationError: when the cache has no ``snapshot``.
        """
        self._open()
        self._snapshots().stop()

    def _snapshots(self) -> Snapshots[K, V]:
        snapshots = self._parts.snapshots
        if snapshots is None:
            raise ConfigurationError("snapshot", "is None; pass snapshot=SnapshotFile(...)")
        return snapshots

    async def settle(self) -> None:
        """Wait until nothing loads or backfills, and the audit log has been written."""
        await self._open().settle()

    @property
    def stats(self) -> Stats:
        """What the cache has counted so far, as a frozen snapshot; also after it was closed."""
        opening, parts = self._opening, self._parts
        readiness = None if opening is None else opening.engine.warming.peek()
        return snapshot(
            parts.counters,
            size=len(parts.near.store),
            in_flight=0 if opening is None else len(opening.engine.loader.locks),
            abandoned=0 if opening is None else len(opening.engine.loader.overdue.abandoned),
            backfills=parts.audit.backfills,
            permits_left=parts.budget.permits_left,
            budget=parts.budget.state,
            circuit=None if opening is None else opening.engine.loader.calling.circuit,
            audit_dropped=parts.audit.dropped,
            far=None if parts.far_calls is None else parts.far_calls.stats(),
            scan=parts.scan,
            journal=parts.reports.journal,
            snapshot=None if parts.snapshots is None else parts.snapshots.stats(),
            backfill_keys_read=None if parts.usefulness is None else parts.usefulness.read,
            weight=store.weight if isinstance(store := parts.settings.store, WeighedStore) else None,
            readiness=None if readiness is None else readiness.state,
        )

    @property
    def audit_log(self) -> tuple[AuditRecord, ...]:
        """The latest decisions about backfills, oldest first; also after the cache was closed."""
        return self._parts.audit.records

    def _open(self) -> Engine[K, V]:
        """Return the engine of the opening that is of the running event loop."""
        opening = self._opening
        if opening is None or not opening.is_open:
            raise CacheClosedError(self._closed_because)
        opening.opened_in.require_here()
        return opening.engine

    def _shut(self, reason: str) -> None:
        """Refuse every use from now on, with ``reason``."""
        self._closed_because = reason
        self._parts.hit_path.close(reason)
        self._peek = self._refuse_to_peek

    def _refuse_to_peek(self, key: K, default: Absent) -> Absent:  # noqa: ARG002 - stands in for a store
        raise CacheClosedError(self._closed_because)
