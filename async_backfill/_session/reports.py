"""Who hears what happens in a cache: the counters, the audit writer and the observers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from async_backfill.events import BackfillAudited, JournalRead

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._lookup.counters import Counters
    from async_backfill.backfill._audit.writer import AuditWriter
    from async_backfill.events import Event, Observer
    from async_backfill.records import AuditRecord, JournalReading

_LOGGER: Final = logging.getLogger("async_backfill")
_NOTHING_HOT: Final = "no keys were known to be hot when the cache was empty"


class Reports:
    """Passes events on; what an observer raises is logged and goes no further.

    ``notify``
        calls every observer with an event; ``None`` without observers, so that no event is made.
    ``writer``
        writes audit records to the sink while the cache is open; ``None`` otherwise.
    ``journal``
        what came of reading the journal; ``None`` before, and where there is none.
    """

    def __init__(self, observers: tuple[Observer, ...], counters: Counters) -> None:
        self._observers = observers
        self._counters = counters
        self.notify: Callable[[Event], None] | None = self._notify if observers else None
        self.writer: AuditWriter | None = None
        self.journal: JournalReading | None = None

    def journal_read(self, reading: JournalReading) -> None:
        """Keep and pass on what came of reading the journal."""
        self.journal = reading
        self._notify(JournalRead(reading=reading))

    def why_nothing_is_hot(self) -> str:
        """Return why no key was known to be hot, in one line."""
        reading = self.journal
        ignored = None if reading is None else reading.ignored
        return _NOTHING_HOT if ignored is None else f"{_NOTHING_HOT}: the journal was ignored; {ignored}"

    def audited(self, record: AuditRecord) -> None:
        """Pass on a new or changed audit record."""
        self._counters.count_decision(record.status)
        if self.writer is not None:
            self.writer.report(record)
        self._notify(BackfillAudited(record=record))

    def _notify(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # whatever it is, it is the observer's, and must not end the cache
                _LOGGER.exception("observer %r failed on %s", observer, type(event).__name__)
