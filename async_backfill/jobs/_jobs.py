"""The jobs of one state: what an operator asks for, and the work itself."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.spans import spanning
from async_backfill._common.validation import whole
from async_backfill._jobs._operator import Operator
from async_backfill._jobs._permit import require_permit, take_permit
from async_backfill._jobs._planning.changes import require_unchanged
from async_backfill._jobs._planning.dry_run import dry_run
from async_backfill._jobs._planning.measuring import measure
from async_backfill._jobs._ranges import check_spec
from async_backfill._jobs._records import LEFT, JobStatus
from async_backfill._jobs._reports import JobReports, ToldState, facts_of
from async_backfill._jobs._running.worker import work
from async_backfill._jobs._spec import JobSpec
from async_backfill._jobs._state.approvals import require_startable
from async_backfill._jobs._state.jobs import add_job, find_job, require_name
from async_backfill._jobs._verifying.dead import retry_dead
from async_backfill._jobs._verifying.verify import verify
from async_backfill._jobs._verifying.verifying import SAMPLE, Request
from async_backfill._runner.job_files.opening import open_ends
from async_backfill._runner.job_files.reading import read_job
from async_backfill.jobs._states import state_at
from async_backfill.jobs._work_on_all import work_on_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from anyio import Event

    from async_backfill._jobs._ends import JobEnds, OpenEnds
    from async_backfill._jobs._events import JobObserver
    from async_backfill._jobs._planning.dry_run import DryRun
    from async_backfill._jobs._records import JobRecord
    from async_backfill._jobs._report import JobReport
    from async_backfill._jobs._verifying.dead import Retried
    from async_backfill._jobs._verifying.result import Verified
    from async_backfill.contracts import JobState, Tracer

_DEFAULT_STATE: Final = "jobs.sqlite"


class Jobs(Operator):
    """The jobs in one state: plan, approve, run and verify them; use it in ``async with``.

    Any number of processes may use one state at a time. Beside what each call says, it raises
    `JobRefusedError` when there is no such job or what is asked may not be, `JobStateError` when the state
    cannot be used, and another `JobError` when an end of the job does not answer.

    :param state: a file of this machine, see `SQLiteJobState`; or the URL of PostgreSQL, which several hosts
        can share, see `PostgresJobState`, where ``${NAME}`` is an environment variable; or a `JobState` that
        is open, and stays so.
    :param create: whether a file or schema that is not there is made.
    :param open_ends: opens the source and the store of a spec, in any process that works on it. The usual one
        understands the descriptions of job files.
    :param observers: functions that are called with each event of a job in this process; what one raises is
        logged and goes no further.
    :param tracing: makes spans of pages, plans and verifications, such as `async_backfill.otel.Tracing`.
    """

    def __init__(
        self,
        state: JobState | str | os.PathLike[str] = _DEFAULT_STATE,
        *,
        create: bool = True,
        open_ends: OpenEnds = open_ends,
        observers: Iterable[JobObserver] = (),
        tracing: Tracer | None = None,
    ) -> None:
        own = state_at(state, create=create) if isinstance(state, (str, os.PathLike)) else None
        self._own = own
        self._open_ends = open_ends
        self._resources = AsyncExitStack()
        self._reports = JobReports(observers, tracing)
        opened: JobState = state if own is None else own  # type: ignore[assignment] # no name, so a state
        super().__init__(ToldState(opened, self._reports))

    async def __aenter__(self) -> Self:
        if self._own is not None:
            await self._resources.enter_async_context(self._own)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def plan(self, job: JobSpec | str | os.PathLike[str], /, *, by: str) -> JobRecord:
        """Measure the ends of a job, and keep its plan; nothing else is written.

        :param job: a spec, or the path of a job file.
        :raises ScenarioError: when the file is wrong, or an end that it describes cannot be opened.
        :raises ConfigurationError: when a setting of the spec is wrong; names it.
        """
        require_name(by, "who plans")
        spec = job if isinstance(job, JobSpec) else (await read_job(Path(job)))[0]
        check_spec(spec)
        with spanning(self._reports.tracer, "job plan", {"job": spec.name}):
            async with self._open_ends(spec) as ends:
                plan = await measure(spec, ends)
        return await self._state.transact(partial(add_job, plan=plan, by=by))

    async def dry_run(self, job_id: int, /, *, rows: int = 10_000) -> DryRun:
        """Do with some rows, from all over the source, all that the job would do but for writing them.

        :param rows: about how many.
        """
        most = whole("rows", rows, least=1)
        async with self._ends(job_id, "job dry run") as (job, ends):
            return await dry_run(job.plan, ends, most=most)

    async def run(
        self,
        job_id: int,
        /,
        *,
        by: str,
        from_start: bool = False,
        stop: Event | None = None,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> JobReport:
        """Start a job that was approved, or let one go on, work on it to its end, and verify a sample.

        A job that others are running gets one worker more. How it ended is in the report: a job that fails
        raises nothing. When the task is cancelled the job is ``"interrupted"``, until anybody works on it.

        :param from_start: begin with its first rows again, as after the store has lost its memory.
        :param stop: when it is set, the worker ends after its pages, and with the last one the job is paused.
        :param is_busy: whether loads of this process's caches wait for the source: they come first.
        :raises JobRefusedError: also when no approval holds, or the source is not as it was planned.
        """
        await self._state.transact(partial(require_startable, job_id=job_id, by=by))
        async with self._ends(job_id) as (job, ends):
            await self._start(job, ends, by=by, from_start=from_start)
            await self._copy(job_id, ends, stop=stop, is_busy=is_busy)
        return await self.status(job_id)

    async def start(self, job_id: int, /, *, by: str, from_start: bool = False) -> JobRecord:
        """Start a job as `run` does, for workers elsewhere: see `work`."""
        await self._state.transact(partial(require_startable, job_id=job_id, by=by))
        async with self._ends(job_id) as (job, ends):
            return await self._start(job, ends, by=by, from_start=from_start)

    async def work(
        self,
        job_id: int | None = None,
        /,
        *,
        shard: int | None = None,
        wait: bool = False,
        stop: Event | None = None,
        pauses: bool = False,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> int:
        """Work on a job that others have started, or on each one that runs, one after the other.

        Return on how many it was. Of several, one that cannot be worked on keeps nobody from the others: the
        log says why, and its error is raised at the end.

        :param shard: the only one of ``job_id`` that is read, by one lane, for engines whose tasks are
            shards: until that is read, or others work on it. Nothing is verified then.
        :param wait: whether to go on with jobs that are started later, and to try those again that could not
            be worked on, until ``stop`` is set.
        :param stop: when it is set, the worker ends after its pages; a job whose last one it was is
            ``"interrupted"``, until anybody works on it.
        :param pauses: whether such a job is paused instead, so that nobody goes on with it unasked.
        :param is_busy: as for `run`.
        """
        given: dict[str, Any] = {"stop": stop, "pauses": pauses, "is_busy": is_busy}
        if job_id is not None:
            await self._work(job_id, shard=shard, **given)
            return 1
        return await work_on_all(self._state, partial(self._work, **given), wait=wait, stop=stop)

    async def verify(
        self,
        job_id: int,
        /,
        *,
        by: str,
        sample: float | None = SAMPLE,
        extra: bool = False,
        repair: bool = False,
        stop: Event | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Verified:
        """Compare what a job has read with the store; one that was read to its end is done then, or has gaps.

        :param sample: the number of rows, an ``int``, or their share, a ``float``; ``None`` for all. Of
            a job whose store has evicted entries since it began, or that had gaps, all are compared anyhow.
        :param extra: whether keys of the store without a row are looked for.
        :param repair: whether differences are mended: rows written again, keys without one removed.
        :param stop: when it is set, a job that is being verified is paused.
        :param progress: a function that is told after each page how many rows were compared so far.
        """
        request = Request(sample=sample, extra=extra, repair=repair)
        async with self._ends(job_id, "job verify") as (_, ends):
            return await verify(self._state, job_id, ends, request, by=by, stop=stop, progress=progress)

    async def retry_dead(self, job_id: int, /, *, by: str) -> Retried:
        """Read the rows again that could not be copied, and write those that can be now."""
        async with self._ends(job_id, "job retry") as (_, ends):
            return await retry_dead(self._state, job_id, ends, by=by)

    async def _start(
        self, job: JobRecord, ends: JobEnds[Any, Any], *, by: str, from_start: bool
    ) -> JobRecord:
        await _require_unchanged(job, ends)
        await take_permit(self._state, job.id, ends, by=by)
        return await self.resume(job.id, by=by, from_start=from_start)

    async def _work(self, job_id: int, *, shard: int | None = None, **given: Any) -> None:
        async with self._ends(job_id) as (job, ends):
            left = (part.status in LEFT for part in (await self.status(job_id)).shards)
            await _require_unchanged(job, ends, counted=shard is None and any(left))
            await require_permit(self._state, job_id, ends)
            await self._copy(job_id, ends, shard=shard, **given)

    async def _copy(self, job_id: int, ends: JobEnds[Any, Any], **given: Any) -> None:
        await work(self._state, job_id, ends, owner=_owner(), reports=self._reports, **given)

    @asynccontextmanager
    async def _ends(
        self, job_id: int, span: str | None = None
    ) -> AsyncIterator[tuple[JobRecord, JobEnds[Any, Any]]]:
        job = await self._state.transact(partial(find_job, job_id=job_id))
        with spanning(self._reports.tracer if span else None, span or "", facts_of(job)):
            async with self._open_ends(job.plan.spec) as ends:
                yield job, ends


async def _require_unchanged(job: JobRecord, ends: JobEnds[Any, Any], *, counted: bool = True) -> None:
    """Check that what was planned is what would run; a job that is only to be verified reads no further."""
    if job.status is not JobStatus.VERIFYING:
        await require_unchanged(job.plan, ends, counted=counted)


def _owner() -> str:
    """Return the name of a worker that no other one has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
