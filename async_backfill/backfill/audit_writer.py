"""From the audit log in memory to a sink: in order, a few records at a time, never in a caller's way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from anyio import Event, move_on_after

if TYPE_CHECKING:
    from async_backfill.contracts import AuditSink, Spawn
    from async_backfill.records import AuditRecord

_LOGGER: Final = logging.getLogger("async_backfill.audit")
_MOST_WAITING: Final = 10_000


class AuditWriter:
    """Writes records to ``sink``, at most one write each ``interval`` seconds while nobody waits.

    A record that is reported again before it was written is written once, as it was last. A sink
    that fails is logged, and its records are tried again with the next write; above 10,000 waiting
    records the oldest are given up and counted in ``lost``.

    :param spawn: starts a task that the cache owns.
    """

    def __init__(self, sink: AuditSink, *, interval: float, spawn: Spawn) -> None:
        self._sink = sink
        self._interval = interval
        self._spawn = spawn
        self._waiting: dict[int, AuditRecord] = {}
        self._writing = False
        self._hurry = Event()
        self._written = Event()
        self.lost = 0

    def report(self, record: AuditRecord) -> None:
        """Take note of a new or changed record and see to it that it will be written."""
        self._waiting[record.number] = record
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
        if not self._writing:
            self._writing = True
            self._spawn(self._write_all)

    async def flush(self) -> None:
        """Wait until everything reported so far was written, or a write of it has failed."""
        self._hurry.set()
        if self._writing:
            await self._written.wait()
        elif self._waiting:
            await self._write()

    async def _write_all(self) -> None:
        try:
            while self._waiting and await self._write() and self._waiting:
                with move_on_after(self._interval):
                    await self._hurry.wait()
        finally:
            self._writing = False
            self._hurry = Event()
            self._written.set()
            self._written = Event()

    async def _write(self) -> bool:
        records = tuple(self._waiting.values())
        self._waiting.clear()
        try:
            await self._sink.write(records)
        except Exception:
            _LOGGER.exception("%d audit records were not written; the next write tries again", len(records))
            newer, self._waiting = self._waiting, {record.number: record for record in records}
            self._waiting.update(newer)
            return False
        return True
