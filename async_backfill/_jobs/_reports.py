"""Reports: facts about jobs go to observers and into the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from anyio import current_time

from async_backfill._common.log_lines import Lines
from async_backfill._common.observers import Observers
from async_backfill._jobs._event_lines import LOGGER, line_of
from async_backfill._jobs._events import JobStatusChanged
from async_backfill._jobs._records import JobStatus, LogLine
from async_backfill._jobs._state.log import ADD_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from async_backfill._jobs._events import AnyJobEvent, JobObserver
    from async_backfill._jobs._records import JobRecord
    from async_backfill.contracts import JobState, Tracer, Transaction

T = TypeVar("T")

_NAME: Final = "SELECT name FROM job WHERE id = ?"


class JobReports:
    """Passes events of jobs on; what an observer raises is logged, and no more.

    ``notify``
        calls every observer with an event; ``None`` without observers, so that no event is made.
    ``tracer``
        makes spans of what is done; ``None`` makes none.
    """

    def __init__(self, observers: Iterable[JobObserver] = (), tracer: Tracer | None = None) -> None:
        self.tracer = tracer
        told = tuple(observers)
        self._observers: Observers[AnyJobEvent] = Observers(told, LOGGER, current_time)
        self._lines: dict[int, Lines] = {}
        self.notify: Callable[[AnyJobEvent], None] | None = self._observers.tell if told else None

    def tell(self, event: AnyJobEvent) -> None:
        """Log and pass on what happens now and then; what happens with each page goes to `notify`."""
        if (line := line_of(event)) is not None:
            lines = self._lines.get(event.job)
            if lines is None:
                lines = self._lines[event.job] = Lines(current_time, job=event.job, job_name=event.name)
            lines.say(line, event)
        self._observers.tell(event)


class ToldState:
    """A state of jobs that reports each change of a status once it is committed."""

    def __init__(self, state: JobState, reports: JobReports) -> None:
        self._state = state
        self._reports = reports

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` in one transaction, as the state does."""
        events: list[JobStatusChanged] = []

        def noted(tx: Transaction) -> T:
            seen = _NotedTransaction(tx)
            result = work(seen)
            # Anew at each try: what was rolled back did not happen.
            events[:] = [event for line in seen.lines if (event := _change(tx, line)) is not None]
            return result

        result = await self._state.transact(noted)
        for event in events:
            self._reports.tell(event)
        return result


class _NotedTransaction:
    """A transaction that takes note of the lines which are added to the logs of jobs."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.now = tx.now
        self.lines: list[LogLine] = []

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        """Run ``statement``, as a transaction does."""
        if statement is ADD_LINE:
            self.lines.append(LogLine(**dict(zip(LogLine.__slots__, values, strict=True))))
        return self._tx.rows(statement, *values)


def facts_of(job: JobRecord) -> dict[str, object]:
    """Return whose span it is that begins."""
    return {"job": job.plan.spec.name, "job_id": job.id}


def _change(tx: Transaction, line: LogLine) -> JobStatusChanged | None:
    if line.what not in {"planned", "status"}:
        return None
    facts = msgspec.json.decode(line.facts)
    before = facts.get("from")
    ((name,),) = tx.rows(_NAME, line.job)
    return JobStatusChanged(
        job=line.job,
        name=name,
        before=None if before is None else JobStatus(before),
        status=JobStatus(facts.get("to", JobStatus.PLANNED)),
        by=line.by,
        reason=facts.get("reason"),
    )
