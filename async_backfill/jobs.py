"""Durable jobs: plan, approve, run and verify the copy of a whole source into the far tier (L2)."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from async_backfill._jobs._ends import JobEnds, OpenEnds
from async_backfill._jobs._errors import JobError, JobRefusedError, JobStateError
from async_backfill._jobs._operator import Operator
from async_backfill._jobs._plan import Plan
from async_backfill._jobs._planning.changes import require_unchanged
from async_backfill._jobs._planning.dry_run import DryRun, dry_run
from async_backfill._jobs._planning.estimate import Estimate, estimate
from async_backfill._jobs._planning.measuring import measure
from async_backfill._jobs._records import (
    Approval,
    DeadRow,
    JobCounts,
    JobRecord,
    JobStatus,
    LogLine,
    ShardStatus,
    Throttled,
    Wanted,
)
from async_backfill._jobs._report import JobReport, ShardReport, WorkerReport
from async_backfill._jobs._running.worker import work
from async_backfill._jobs._spec import JobSettings, JobSpec, ThrottleLimits
from async_backfill._jobs._state.jobs import add_job, find_job, list_jobs
from async_backfill._jobs._state.sqlite import SQLiteJobState
from async_backfill._jobs._state.transaction import JobState, Transaction
from async_backfill._jobs._verifying.dead import Retried, retry_dead
from async_backfill._jobs._verifying.result import Verified
from async_backfill._jobs._verifying.verify import verify
from async_backfill._jobs._verifying.verifying import SAMPLE, Request
from async_backfill._runner.job_files.opening import open_ends
from async_backfill._runner.job_files.reading import read_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import Self

    from anyio import Event

__all__ = [
    "Approval",
    "DeadRow",
    "DryRun",
    "Estimate",
    "JobCounts",
    "JobEnds",
    "JobError",
    "JobRecord",
    "JobRefusedError",
    "JobReport",
    "JobSettings",
    "JobSpec",
    "JobState",
    "JobStateError",
    "JobStatus",
    "Jobs",
    "LogLine",
    "OpenEnds",
    "Plan",
    "Retried",
    "SQLiteJobState",
    "ShardReport",
    "ShardStatus",
    "ThrottleLimits",
    "Throttled",
    "Transaction",
    "Verified",
    "Wanted",
    "WorkerReport",
    "estimate",
    "open_ends",
    "read_job",
]

_DEFAULT_STATE: Final = "jobs.sqlite"
_LOOK: Final = 1.0
_WORKED_ON: Final = frozenset({JobStatus.RUNNING, JobStatus.VERIFYING})


class Jobs(Operator):
    """The jobs in one state, for who plans, runs and verifies them; use it in ``async with``.

    Any number of processes may use one state at a time. Beside what each call says, it raises
    `JobRefusedError` when there is no such job or what is asked may not be, `JobStateError` when the state
    cannot be used, and `JobError` when an end of the job cannot be reached.

    :param state: a file of this machine, see `SQLiteJobState`, or another `JobState` that is open.
    :param create: whether a file that is not there is made.
    :param open_ends: opens the source and the store of a spec, in any process that works on it; the usual one
        understands the descriptions of job files.
    """

    def __init__(
        self,
        state: JobState | str | os.PathLike[str] = _DEFAULT_STATE,
        *,
        create: bool = True,
        open_ends: OpenEnds = open_ends,
    ) -> None:
        is_path = isinstance(state, (str, os.PathLike))
        self._file = SQLiteJobState(state, create=create) if is_path else None  # type: ignore[arg-type]
        self._open_ends = open_ends
        self._resources = AsyncExitStack()
        super().__init__(self._file or state)  # type: ignore[arg-type] # one of the two is a state

    async def __aenter__(self) -> Self:
        if self._file is not None:
            await self._resources.enter_async_context(self._file)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def plan(self, job: JobSpec | str | os.PathLike[str], /, *, by: str) -> JobRecord:
        """Measure the ends of a job, and keep its plan; nothing else is written.

        :param job: a spec, or the path of a job file.
        :raises ScenarioError: when the file is wrong, or an end that it describes cannot be opened.
        """
        spec = job if isinstance(job, JobSpec) else (await read_job(Path(job)))[0]
        async with self._open_ends(spec) as ends:
            plan = await measure(spec, ends)
        return await self._state.transact(partial(add_job, plan=plan, by=by))

    async def dry_run(self, job_id: int, /, *, rows: int = 10_000) -> DryRun:
        """Do with about ``rows`` rows of a job all that it would do, but for writing them."""
        plan = (await self._find(job_id)).plan
        async with self._open_ends(plan.spec) as ends:
            return await dry_run(plan, ends, most=rows)

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
        """Start a job that was approved, or one that stopped, work on it to its end, and verify a sample.

        A job that others are running gets one worker more.

        :param from_start: begin with its first rows again, as after the store has lost its memory.
        :param stop: when it is set, the worker ends after its pages, and the job is paused.
        :param is_busy: whether loads of this process's caches wait for the source: they come first.
        """
        job = await self._find(job_id)
        async with self._open_ends(job.plan.spec) as ends:
            if job.status is not JobStatus.VERIFYING:
                await require_unchanged(job.plan, ends)
            await self.resume(job_id, by=by, from_start=from_start)
            await work(self._state, job_id, ends, owner=_owner(), stop=stop, is_busy=is_busy)
        return await self.status(job_id)

    async def work(
        self,
        job_id: int | None = None,
        /,
        *,
        wait: bool = False,
        stop: Event | None = None,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> int:
        """Work on a job that others have started, or on each one that runs; return on how many it was.

        :param wait: whether to wait for further jobs when none is running.
        :param stop: when it is set, the worker ends after its pages.
        :param is_busy: as for `run`.
        """
        owner, count = _owner(), 0
        while stop is None or not stop.is_set():
            running = [job_id] if job_id is not None else await self._running()
            for each in running:
                job = await self._find(each)
                async with self._open_ends(job.plan.spec) as ends:
                    await work(self._state, each, ends, owner=owner, stop=stop, is_busy=is_busy)
                count += 1
            if job_id is not None or (not running and not wait):
                break
            if not running:
                await sleep(_LOOK)
        return count

    async def verify(
        self,
        job_id: int,
        /,
        *,
        by: str,
        sample: float | None = SAMPLE,
        extra: bool = False,
        repair: bool = False,
    ) -> Verified:
        """Compare what a job has read with the store; one that was read to its end is done then, or has gaps.

        :param sample: the number of rows, an ``int``, or their share, a ``float``; ``None`` for all.
        :param extra: whether keys of the store without a row are looked for.
        :param repair: whether differences are mended: rows written again, keys without one removed.
        """
        request = Request(sample=sample, extra=extra, repair=repair)
        async with self._ends(job_id) as ends:
            return await verify(self._state, job_id, ends, request, by=by)

    async def retry_dead(self, job_id: int, /, *, by: str) -> Retried:
        """Read the rows again that could not be copied, and write those that can be now."""
        async with self._ends(job_id) as ends:
            return await retry_dead(self._state, job_id, ends, by=by)

    async def _find(self, job_id: int) -> JobRecord:
        return await self._state.transact(partial(find_job, job_id=job_id))

    async def _running(self) -> Sequence[int]:
        found = await self._state.transact(list_jobs)
        return [job.id for job in found if job.status in _WORKED_ON]

    @asynccontextmanager
    async def _ends(self, job_id: int) -> AsyncIterator[JobEnds[Any, Any]]:
        async with self._open_ends((await self._find(job_id)).plan.spec) as ends:
            yield ends


def _owner() -> str:
    """Return the name of a worker that no other one has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
