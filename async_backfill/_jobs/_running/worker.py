"""A worker of a job: its lanes claim shards and copy them, until all are read or somebody says otherwise."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, create_task_group, current_time, get_cancelled_exc_class, move_on_after, sleep

from async_backfill._common.spans import spanning
from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._mark import LOST, Mark
from async_backfill._jobs._records import JobStatus
from async_backfill._jobs._reports import JobReports, facts_of
from async_backfill._jobs._running.course import WRITE_TIMEOUT, Course, End
from async_backfill._jobs._running.desk import Desk
from async_backfill._jobs._running.meter import Meter, minute_of_day, number_at
from async_backfill._jobs._running.shard_copy import ShardCopy
from async_backfill._jobs._running.traced_copy import TracedShardCopy
from async_backfill._jobs._running.verified_job import verify_job
from async_backfill._jobs._running.waiting import Lane
from async_backfill._jobs._verifying.verifying import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import Event

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._records import JobRecord
    from async_backfill._jobs._running.desk import Look
    from async_backfill.contracts import JobState

LEASE: Final = 30.0
_MARGIN: Final = 5.0  # seconds by which clocks may differ under "stamp"
_IDLE: Final = 0.25
_LOOK: Final = 0.1
_CLOSING: Final = 2.0


async def work(  # noqa: PLR0913 - the settings users name are flat
    state: JobState,
    job_id: int,
    ends: JobEnds[Any, Any],
    *,
    owner: str,
    stop: Event | None = None,
    pauses: bool = True,
    lease: float = LEASE,
    shard: int | None = None,
    is_busy: Callable[[], bool] = lambda: False,
    minute: Callable[[], int] = minute_of_day,
    read_url: Callable[[str], Awaitable[float]] = number_at,
    wall: Callable[[], float] = time.time,
    request: Request | None = None,
    reports: JobReports | None = None,
) -> JobRecord:
    """Work on a job that runs, beside other workers, and verify it when all is read; return how it is then.

    When the task is cancelled it gives its shards back at once; set ``stop`` to have it end after its pages.

    :param owner: the name of this worker, another one than that of each other one.
    :param pauses: whether the job is paused when ``stop`` ends its last worker; else others go on with it.
    :param lease: seconds after which others take the shards of a worker of which nothing is heard.
    :param shard: the only one that is read, by one lane: until its end, or while nobody else works on it. The
        job is not verified then.
    :param is_busy: whether loads of this process's caches wait for the source: they come first.
    :param reports: is told of its pages and of what it waits for; the state tells of its status.
    :raises JobRefusedError: when the job does not run, or the clock of the store is another one.
    :raises JobStateError: when the state cannot be used for longer than the job's patience.
    """
    worker = _Worker(
        state,
        job_id,
        ends,
        owner=owner,
        pauses=pauses,
        lease=lease,
        wall=wall,
        request=request or Request(),
        reports=reports or JobReports(),
    )
    return await worker.run(stop, partial(Meter, is_busy=is_busy, minute=minute, read_url=read_url), shard)


class _Worker:
    def __init__(  # noqa: PLR0913 - as above
        self,
        state: JobState,
        job_id: int,
        ends: JobEnds[Any, Any],
        *,
        owner: str,
        pauses: bool,
        lease: float,
        wall: Callable[[], float],
        request: Request,
        reports: JobReports,
    ) -> None:
        self._ends = ends
        self._reports = reports
        self._wall = wall
        self._pauses = pauses
        self._only: int | None = None
        self._request = request
        self._course: Course | None = None
        self._desk = Desk(
            state, job_id, owner=owner, lease=lease, patience=_CLOSING, has_stopped=lambda: self._is_ending
        )

    @property
    def _is_ending(self) -> bool:
        return self._course is not None and self._course.end is not None

    async def run(self, stop: Event | None, new_meter: Callable[..., Meter], only: int | None) -> JobRecord:
        """Work until the end; return the job as it is then."""
        self._only = only
        look = await self._desk.look()
        mark = Mark(self._ends.store_facts, look.job)
        if look.job.status is JobStatus.RUNNING:
            meter = new_meter(self._ends, look.job.plan.spec.throttle)
            dead = sum(part.counts.dead for part in look.parts)
            course = self._course = Course(look.job, self._ends, self._desk, meter, mark, dead, self._reports)
            self._desk.patience = course.limits.patience
            await self._check(course, look)
            await self._copy(course, stop)
            if course.error is not None:
                raise course.error
            await self._settle(course)
            is_read = course.end is not None and course.end.is_read
        elif look.job.status is JobStatus.VERIFYING:
            is_read = True
        else:
            said = look.job.reason or "start it first"
            raise JobRefusedError(f"job {look.job.id} is {look.job.status}, it does not run: {said}")
        if is_read and self._only is None:
            with spanning(self._reports.tracer, "job verify", facts_of(look.job)):
                await verify_job(self._desk, self._ends, self._request, stop, pauses=self._pauses)
        job = (await self._desk.look()).job
        if job.status in {JobStatus.DONE, JobStatus.CANCELLED}:
            await mark.remove()
        return job

    async def _check(self, course: Course, look: Look) -> None:
        """Look whether the store is that of before, and its clock that of this machine."""
        if course.spec.budget is not None and self._ends.budget is None:  # or each worker would have its own
            raise JobRefusedError(f"job {course.desk.job_id} has a budget, and its opener has opened none")
        facts = self._ends.store_facts
        # Who works on it has made the mark, and may have written a page that the state does not know yet.
        has_pages = look.live > 0 or any(part.pages for part in look.parts)
        if facts is not None:
            begin = partial(course.mark.begin, has_pages=has_pages)
            if not await answer(begin, WRITE_TIMEOUT, "the store does not answer", attempts=3):
                course.fail(LOST)
                return
            fares = await answer(facts.state, WRITE_TIMEOUT, "the store does not answer", attempts=3)
            course.meter.store(fares)
            apart = 0.0 if fares.clock is None else fares.clock - self._wall()
            if abs(apart) > _MARGIN / 2 and course.spec.guard == "stamp":
                raise JobRefusedError(
                    f"the clock of the store is {apart:+.1f} s from that of this machine, at most "
                    f'{_MARGIN / 2} s are allowed under "stamp": set the clocks, by NTP for example'
                )
        await course.meter.sample()

    async def _copy(self, course: Course, stop: Event | None) -> None:
        async with create_task_group() as aside:
            aside.start_soon(course.meter.run)
            if stop is not None:
                aside.start_soon(self._watch, course, stop)
            running: set[int] = set()
            async with create_task_group() as lanes:
                while course.end is None:
                    for number in range(course.settings.lanes if self._only is None else 1):
                        if number not in running:
                            running.add(number)
                            lanes.start_soon(self._lane, course, number, running)
                    with move_on_after(_IDLE):
                        await course.ended.wait()
            aside.cancel_scope.cancel()

    async def _watch(self, course: Course, stop: Event) -> None:
        await stop.wait()
        if self._pauses:
            course.stop("stopped: its last worker was ended")
        else:
            course.finish(End())

    async def _lane(self, course: Course, number: int, running: set[int]) -> None:
        lane = Lane(number, course, self._wall)
        try:
            async with lane.pace.open():
                await self._shards(course, lane)
        except Exception as error:  # noqa: BLE001 - handed on by the worker
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            course.break_off(error)
        finally:
            running.discard(number)

    async def _shards(self, course: Course, lane: Lane) -> None:
        """Copy one shard after the other."""
        while course.end is None and lane.number < course.settings.lanes:
            shard = await self._desk.claim(lane.number, self._only)
            if shard is None:
                self._see(course, await self._desk.look())
                with move_on_after(_IDLE):
                    await course.ended.wait()
                continue
            tracer = self._reports.tracer
            if tracer is None:
                copy = ShardCopy(course, lane, shard)
            else:
                copy = TracedShardCopy(tracer, course, lane, shard)
            try:
                await copy.run()
            except get_cancelled_exc_class():
                with CancelScope(deadline=current_time() + _CLOSING, shield=True):
                    await self._desk.release(shard)
                raise

    def _see(self, course: Course, look: Look) -> None:
        course.see(look)
        if self._only is not None and not look.waits(self._only):
            course.finish(End())

    async def _settle(self, course: Course) -> None:
        """Bring the job to the status that it has now; who pauses or cancels it waits for other workers."""
        end = course.end
        if end is None or end.status is None:
            return
        if end.status is JobStatus.FAILED:
            await self._desk.settle(end.status, end.reason, alone=False)
            return
        last = current_time() + self._desk.lease + 1.0
        while not await self._desk.settle(end.status, end.reason, alone=current_time() < last):
            if end.only_alone:
                return
            await sleep(_LOOK)
