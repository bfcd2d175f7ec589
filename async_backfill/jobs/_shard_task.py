"""One shard of a job as a task of another engine: a number goes there, and nothing comes back."""

from __future__ import annotations

import os
import signal

import anyio

from async_backfill._common.error_text import error_line
from async_backfill._jobs._errors import JobError, JobRefusedError, JobStateError
from async_backfill._jobs._records import LEFT
from async_backfill._jobs._running.faults import is_hopeless
from async_backfill._jobs._state.naming import STATE_VARIABLE, is_of_server
from async_backfill.errors import AsyncBackfillError
from async_backfill.jobs._jobs import Jobs


class NoAnswerError(JobError):
    """What a task needs does not answer now: the server of the state, the source or the store."""


def read_shard(state: str | None, job_id: int, plan_hash: str, number: int) -> None:
    """Read a shard of a job that runs, in this thread, until it is done or others work on it.

    :param state: its name; ``None`` for that of the environment of this process.
    :param plan_hash: that of the plan of the job, which another state does not have.
    :raises NoAnswerError: when it cannot be read now, and could be later.
    :raises JobError: when it cannot be read, whatever the reason: another error may hold what is not to
        travel, or cannot.
    """
    name = state or os.environ.get(STATE_VARIABLE)
    if not name:
        raise JobError(f"the environment of the worker has no {STATE_VARIABLE}")
    try:
        anyio.run(_read, name, job_id, plan_hash, number)
    except Exception as error:  # noqa: BLE001 - see above
        kind = NoAnswerError if _is_unanswered(error, name) else JobError
        raise kind(error_line(error)) from None


def dask_setup(_: object) -> None:
    """Leave Ctrl-C to who has started this worker: all processes of a terminal are told of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


async def _read(name: str, job_id: int, plan_hash: str, number: int) -> None:
    async with Jobs(name, create=False) as jobs:
        job = await jobs.status(job_id)
        if job.plan_hash != plan_hash:
            raise JobError(f"the state of the worker has another job {job_id}: see its {STATE_VARIABLE}")
        if not any(shard.number == number and shard.status in LEFT for shard in job.shards):
            return
        try:
            await jobs.work(job_id, shard=number)
        except AsyncBackfillError:
            if (await jobs.status(job_id)).status in {"running", "interrupted"}:
                raise


def _is_unanswered(error: BaseException, state: str) -> bool:
    """Return whether a server may be away: a wrong setting, or a file that is not there, stays wrong."""
    if isinstance(error, JobStateError) and (not is_of_server(state) or error.__cause__ is None):
        return False
    return isinstance(error, JobError) and not isinstance(error, JobRefusedError) and not is_hopeless(error)
