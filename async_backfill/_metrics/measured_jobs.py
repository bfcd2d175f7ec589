"""The jobs that are measured: their reports as they were last read, and this process's pages and waits."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyio import current_time, sleep

from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.tasks_aside import tasks_aside
from async_backfill._common.validation import positive_seconds
from async_backfill._jobs._errors import JobError
from async_backfill._jobs._events import JobPageDone, JobThrottled
from async_backfill._jobs._records import JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from typing import Self

    from async_backfill._jobs._events import AnyJobEvent
    from async_backfill._jobs._report import JobReport
    from async_backfill._metrics.facts import Fact

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_BETWEEN_LINES: Final = 60.0
_OVER: Final = frozenset(
    {JobStatus.PLANNED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.DONE, JobStatus.DONE_WITH_GAPS}
)


class ListsJobs(Protocol):
    """What can tell of all jobs: `Jobs`."""

    async def list(self) -> Sequence[JobReport]:
        """Return what is known of all jobs now, the first one planned first."""
        ...


class MeasuredJobs:
    """An observer of jobs that knows their figures; what it is told to is up to its subclass.

    Of jobs with one name those of one are told: of the one under way, else of the last one planned. So
    there are as many series as names.
    """

    def __init__(self) -> None:
        self._reports: tuple[JobReport, ...] = ()
        self._is_readable = True
        self._log = LineASecond(_LOGGER, current_time, between=_BETWEEN_LINES)

    def __call__(self, event: AnyJobEvent, /) -> None:
        """Record the seconds of a page, or of a wait."""
        if isinstance(event, JobPageDone):
            if event.pages:
                self._page(event.name, event.seconds)
        elif isinstance(event, JobThrottled) and event.before is not None:
            self._waited(event.name, event.before.reason, event.seconds)

    async def look(self, jobs: ListsJobs) -> None:
        """Read the reports of all jobs; until the next look their figures are what they are now.

        When their state cannot be read the figures stay, ``async_backfill_jobs_readable`` is 0, and the log
        says why.
        """
        try:
            reports = await jobs.list()
        except JobError as error:
            self._is_readable = False
            self._log.warning("the metrics of jobs are not up to date: %s", error)
            return
        self._is_readable = True
        shown: dict[str, JobReport] = {}
        for report in reports:
            before = shown.get(report.name)
            if before is None or before.status in _OVER or report.status not in _OVER:
                shown[report.name] = report
        self._reports = tuple(shown.values())

    @asynccontextmanager
    async def following(self, jobs: ListsJobs, *, every: float = 5.0) -> AsyncGenerator[Self, None]:
        """Look every so many seconds while the block runs; the first look is before it begins.

        :param jobs: open `Jobs`, also beyond the block.
        :raises ConfigurationError: when ``every`` is not above 0.
        """
        pause = positive_seconds("every", every)
        await self.look(jobs)
        async with tasks_aside() as tasks:
            tasks.start_soon(self._look_again, jobs, pause)
            yield self

    async def _look_again(self, jobs: ListsJobs, pause: float) -> None:
        while True:
            await sleep(pause)
            await self.look(jobs)

    @abstractmethod
    def _page(self, job: str, seconds: float) -> None:
        """Record that a page of ``job`` took so many seconds."""

    @abstractmethod
    def _waited(self, job: str, reason: str, seconds: float) -> None:
        """Record that a lane of ``job`` waited for so many seconds because of ``reason``."""

    def _values(self, fact: Fact[Any]) -> Iterator[tuple[tuple[str, ...], float]]:
        """Return the values of ``fact``, each with the name of its job and the other labels."""
        for report in self._reports:
            for labels, value in fact.read(report):
                yield (report.name, *labels), value
