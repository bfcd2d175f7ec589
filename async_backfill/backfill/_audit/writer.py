"""The writer of the audit log: writes records to an audit sink in the background, in order."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from anyio import CancelScope, Lock, current_time, sleep

from async_backfill._common.attempt import attempt
from async_backfill._common.log_lines import CacheLog

if TYPE_CHECKING:
    from async_backfill.contracts import AuditSink, Spawn
    from async_backfill.records import AuditRecord

_LOGGER: Final = logging.getLogger("async_backfill.audit")
_MOST_WAITING: Final = 10_000


class AuditWriter:
    """Writes records to ``sink``, at most once every ``interval`` seconds unless `flush` is called.

    A record that changes before it is written is written once, in its latest form. A failure of the
    sink is logged, and the next write tries these records again; above 10,000 waiting records the
    oldest are dropped and counted in ``lost``. A write that is cancelled loses no record.

    :param sink: the audit sink.
    :param interval: seconds between two writes.
    :param spawn: starts a task that the cache owns.
    :param cache: the name of the cache, for the log.
    """

    def __init__(self, sink: AuditSink, *, interval: float, spawn: Spawn, cache: str | None = None) -> None:
        self._log = CacheLog(_LOGGER, cache)
        self._sink = sink
        self._interval = interval
        self._spawn = spawn
        self._waiting: dict[int, AuditRecord] = {}
        self._works = False
        self._writing = Lock()
        self._next_write = -math.inf
        self.lost = 0

    def report(self, record: AuditRecord) -> None:
        """Queue a new or changed record for the next write."""
        self._waiting[record.number] = record
        self._drop_oldest()
        if not self._works:
            self._works = True
            self._spawn(self._work)

    async def flush(self) -> None:
        """Write now; return once all reported records are written, or the write has failed."""
        await self._write()

    async def _work(self) -> None:
        try:
            while self._waiting:
                await sleep(max(0.0, self._next_write - current_time()))
                if not await self._write():
                    return
        finally:
            self._works = False

    async def _write(self) -> bool:
        """Write the waiting records, after any write in progress; return whether that succeeded."""
        async with self._writing:
            records = tuple(self._waiting.values())
            if not records:
                return True
            self._waiting.clear()
            self._next_write = current_time() + self._interval
            was_written = False
            try:
                call = await attempt(lambda: self._sink.write(records), CancelScope())
                was_written = call.error is None
            finally:
                if not was_written:
                    newer = self._waiting
                    self._waiting = {record.number: record for record in records} | newer
                    self._drop_oldest()
        if call.error is not None:
            if isinstance(call.error, (KeyboardInterrupt, SystemExit)):
                raise call.error
            is_told = isinstance(call.error, OSError)  # its text says all there is to know
            self._log.error(
                "%d audit records were not written; the next write tries again%s",
                len(records),
                f": {call.error}" if is_told else "",
                exc_info=None if is_told else call.error,
            )
        return was_written

    def _drop_oldest(self) -> None:
        while len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
