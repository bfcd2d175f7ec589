"""Reports: facts about a cache go to its observers, its log, its counters and its audit sink."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal

from async_backfill._common.log_lines import CacheLog, Lines
from async_backfill._common.observers import Observers
from async_backfill._session.control.recent import Recent
from async_backfill._session.event_lines import DENIED, SKIPPED, line_of
from async_backfill.events import (
    BackfillAudited,
    BudgetChanged,
    CircuitChanged,
    FarStoreFailed,
    JournalRead,
    KeysInvalidated,
    KeysPut,
    ReadinessChanged,
)
from async_backfill.records import LEGAL_CHANGES, Status
from async_backfill.stats import CacheMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    from async_backfill._lookup.counters import Counters
    from async_backfill._session.settings import Settings
    from async_backfill.backfill._audit.writer import AuditWriter
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.backfill.readiness import Readiness
    from async_backfill.errors import StoreError
    from async_backfill.events import Event
    from async_backfill.records import AuditRecord, CircuitState, JournalReading
    from async_backfill.stats import HasStats

_LOGGER: Final = logging.getLogger("async_backfill")
_NOTHING_HOT: Final = "no keys were known to be hot when the cache was empty"


class Reports:
    """Passes events on, each with the name of the cache; what an observer raises is logged, and no more.

    ``notify``
        calls every observer with an event; ``None`` without observers, so that no event is made.
    ``waited``
        is told how many seconds a caller has waited; ``None`` where nobody asks.
    ``writer``
        writes audit records to the sink while the cache is open; ``None`` otherwise.
    ``recent``
        what observers were told of keys lately; ``None`` without observers.
    ``journal``
        what came of reading the journal; ``None`` before, and where there is none.
    """

    def __init__(self, settings: Settings[Any, Any], counters: Counters) -> None:
        self._name, self._clock = settings.name, settings.clock
        self._told = settings.observers
        self._log = CacheLog(_LOGGER, settings.name)
        self._observers: Observers[Event] = Observers(settings.observers, self._log, settings.clock)
        self._lines = Lines(
            settings.clock, "" if settings.name is None else "%(cache)s: ", cache=settings.name
        )
        self._counters = counters
        self.recent = Recent(settings.clock) if settings.observers else None
        self._begun: dict[int | None, float] = {}
        self.notify: Callable[[Event], None] | None = self._notify if settings.observers else None
        self.waited: Callable[[float], None] | None = None
        self.writer: AuditWriter | None = None
        self.journal: JournalReading | None = None

    def tell(self, event: Event) -> None:
        """Log and pass on what happens now and then; what happens at each load goes to `notify`."""
        self.log(event)
        self._notify(event)

    def log(self, event: Event) -> None:
        """Log ``event``, where there is a line for it; no observer is told."""
        if (line := line_of(event)) is not None:
            self._lines.say(line, event)

    def made(self, cache: HasStats) -> None:
        """Show ``cache``, whose facts these are, to those observers that read its statistics."""
        meters: list[CacheMeter] = [it for it in self._told if CacheMeter in type(it).__mro__]  # type: ignore[misc] # declared
        if told := tuple(meter.watch(self._name, cache) for meter in meters):
            self.waited = Observers(told, self._log, self._clock).tell

    def journal_read(self, reading: JournalReading) -> None:
        """Keep and pass on what came of reading the journal."""
        self.journal = reading
        self.tell(JournalRead(reading=reading))

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
        if record.repeats > 1 and self.notify is None:  # maybe at each miss
            line = DENIED if record.status is Status.DENIED else SKIPPED
            if not self._lines.is_to_be_said(line):
                return
        seconds = None
        if record.status is Status.STARTED:
            self._begun[record.backfill] = self._clock()
        elif record.status in LEGAL_CHANGES[Status.STARTED] and record.backfill in self._begun:
            seconds = self._clock() - self._begun.pop(record.backfill)
        self.tell(BackfillAudited(record=record, seconds=seconds))

    def budget_changed(self, budget: BackfillBudget | FleetBudget) -> None:
        """Pass on what ``budget`` has left now."""
        left = budget.permits_left or 0
        self.tell(BudgetChanged(state=budget.state, permits_left=left, is_known=budget.is_known))

    def source_circuit(self, state: CircuitState, failures: int) -> None:
        """Pass on a new state of the circuit breaker before the source."""
        self._circuit("source", state, failures)

    def far_circuit(self, state: CircuitState, failures: int) -> None:
        """Pass on a new state of the circuit breaker before the far tier (L2)."""
        self._circuit("far tier", state, failures)

    def _circuit(self, before: Literal["source", "far tier"], state: CircuitState, failures: int) -> None:
        self.tell(CircuitChanged(before=before, state=state, failures=failures))

    def far_failed(self, error: StoreError) -> None:
        """Pass on that a call of the far tier (L2) failed."""
        self.tell(FarStoreFailed(error=error))

    def readiness(self, now: Readiness) -> None:
        """Pass on whether the cache is warm."""
        self.tell(ReadinessChanged(state=now.state, reason=now.reason, coverage=now.coverage))

    def put(self, keys: Collection[Hashable]) -> None:
        """Pass on that values were put."""
        if self.notify is not None:
            self.notify(KeysPut(keys=tuple(keys)))

    def invalidated(self, keys: Collection[Hashable] | None, *, elsewhere: bool = False) -> None:
        """Pass on that ``keys``, or all, were removed; see `KeysInvalidated`."""
        if keys is None:
            self.tell(KeysInvalidated(keys=None, elsewhere=elsewhere))
        elif self.notify is not None and keys:
            self.notify(KeysInvalidated(keys=tuple(keys), elsewhere=elsewhere))

    def _notify(self, event: Event) -> None:
        # Nobody has seen it yet, so it may still be changed; who makes one need not know the name.
        object.__setattr__(event, "cache", self._name)
        if self.recent is not None:
            self.recent.note(event)
        self._observers.tell(event)
