"""Verify a job whose shards are all read, as the last thing that a worker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import CancelScope

from async_backfill._common.tasks_aside import tasks_aside
from async_backfill._jobs._errors import JobError
from async_backfill._jobs._records import JobStatus
from async_backfill._jobs._verifying.verify import verify

if TYPE_CHECKING:
    from anyio import Event

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._running.desk import Desk
    from async_backfill._jobs._verifying.verifying import Request


async def verify_job(
    desk: Desk, ends: JobEnds[Any, Any], request: Request, stop: Event | None, *, pauses: bool
) -> None:
    """Compare rows with their copies, until that is done, another worker has done it, or ``stop`` is set.

    :param pauses: whether the job is paused then; else whoever works on it next begins anew.
    """
    async with tasks_aside() as beside:
        with CancelScope() as scope:
            if stop is not None and not pauses:
                beside.start_soon(_cancel_when, stop, scope)
            try:
                await verify(
                    desk.state,
                    desk.job_id,
                    ends,
                    request,
                    by=desk.owner,
                    stop=stop if pauses else None,
                )
            except JobError:  # it has failed by that, or another worker has verified it meanwhile
                if (await desk.look()).job.status in {JobStatus.RUNNING, JobStatus.VERIFYING}:
                    raise


async def _cancel_when(stop: Event, scope: CancelScope) -> None:
    await stop.wait()
    scope.cancel()
