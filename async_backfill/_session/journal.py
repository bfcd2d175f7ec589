"""The journal of hot keys while a cache is open: read once, then saved every few seconds and at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.bounded_call import bounded
from async_backfill._common.error_text import error_line
from async_backfill._common.provenance import age, here, misfit
from async_backfill.backfill._history.cached_first import CachedFirst
from async_backfill.backfill._history.writer import JournalWriter
from async_backfill.contracts import K
from async_backfill.records import JournalReading

if TYPE_CHECKING:
    from async_backfill._session.parts import Parts
    from async_backfill.backfill._history.recorder import HeatRecorder
    from async_backfill.backfill._history.recovery import Recovery
    from async_backfill.backfill._history.selection import HottestFirst
    from async_backfill.contracts import Heats, Journal, Spawn, V
    from async_backfill.records import Provenance

_OPENING: Final = 5.0
_LEAST_WEIGHT: Final = 2.0**-10
"""What a lookup of the journal's time must count, or it is too old to be loaded before anybody reads."""


class OpenJournal(Generic[K]):
    """Reads ``journal`` into ``heat`` if nothing is known yet, and saves to it what ``heat`` records.

    What was read begins a ``recovery``.

    A journal that cannot be read, or does not fit this cache, is reported and not used: a cache without
    history is better than none.

    :param spawn: starts a task of the cache.
    """

    def __init__(
        self,
        parts: Parts[K, V],
        journal: Journal[K],
        heat: HeatRecorder[K],
        recovery: Recovery,
        hottest_first: HottestFirst[K] | None,
        spawn: Spawn,
    ) -> None:
        self._settings = settings = parts.settings
        self._journal = journal
        self._heat = heat
        self._recovery = recovery
        self._hottest_first = hottest_first
        self._entries = parts.near.entries
        self._spawn = spawn
        self._reports = parts.reports
        self._counters = counters = parts.counters
        self._lookups, self._opened = counters.lookups, settings.clock()
        self._writer: JournalWriter[K] | None = None

    async def open(self) -> None:
        """Read the journal, unless something is known already; save it from now on."""
        if self._heat.is_blank:
            await self._read()
        self._writer = JournalWriter(
            self._journal,
            self._changed,
            interval=self._settings.history.save_every,
            spawn=self._spawn,
            cache=self._settings.name,
        )

    async def flush(self) -> None:
        """Save now."""
        if self._writer is not None:
            await self._writer.flush()

    def close(self) -> None:
        """Let others save."""
        if self._writer is not None and (exclusive := self._settings.exclusive_journal) is not None:
            exclusive.close()

    async def _read(self) -> None:
        read = await bounded(self._journal.load, _OPENING, self._spawn)
        if isinstance(read.error, (KeyboardInterrupt, SystemExit)):
            raise read.error
        if read.stopped:
            self._reports.journal_read(JournalReading(ignored=f"it took longer than {_OPENING} s to read"))
        elif read.error is not None:
            self._reports.journal_read(JournalReading(ignored=error_line(read.error)))
        elif read.result is not None:
            try:
                reading = await self._taken(read.result)
            except Exception as error:  # noqa: BLE001 - of a journal of the user's own
                reading = JournalReading(ignored=error_line(error))
            self._reports.journal_read(reading)

    async def _taken(self, heats: Heats[K]) -> JournalReading:
        """Restore ``heats``, unless they do not fit; what is old counts less."""
        own, written = self._own(), heats.provenance
        since = None if written is None else age(written, own.time)
        if (reason := misfit(written, own)) is not None:
            return JournalReading(provenance=written, age=since, ignored=reason)
        missed = 0 if since is None or heats.pace is None else int(since * heats.pace)
        await self._heat.restore(heats, missed)
        weight = 2.0 ** -(missed / self._heat.half_life)
        if self._hottest_first is not None:
            self._hottest_first.start_again(heats.cached)
        self._recovery.emptied(
            has_history=self._heat.has_history,
            is_vouched_for=written is not None and weight >= _LEAST_WEIGHT,
        )
        return JournalReading(keys=len(heats.keys), provenance=written, age=since, weight=weight)

    def _own(self) -> Provenance:
        settings = self._settings
        return here(settings.wall_clock, cache=settings.name, fingerprint=settings.fingerprint)

    def _changed(self) -> Heats[K] | None:
        """Return the heats to save, with where they come from; ``None`` when there was no lookup since."""
        heats = self._heat.changed_heats()
        if heats is None:
            return None
        seconds = self._settings.clock() - self._opened
        lookups = self._counters.lookups - self._lookups
        pace = lookups / seconds if seconds > 0.0 and lookups else None
        # In the order of a dict, which is that of eviction or of arrival; a store of a user's own tells none.
        cached = tuple(reversed(self._entries.keys())) if isinstance(self._entries, dict) else ()
        keys = CachedFirst(heats.keys, cached, self._heat.size) if cached else heats.keys
        return replace(heats, keys=keys, provenance=self._own(), pace=pace, cached=cached)
