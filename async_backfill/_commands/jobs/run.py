"""The verbs ``run`` and ``work``: a worker in this process, which can be watched and stopped."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from anyio import CancelScope, sleep
from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill._commands.jobs.answers import FAILED, OK, OVER, PAUSED, Answer, answer_of, code_of
from async_backfill._commands.jobs.approval import approval_asked_for, next_step
from async_backfill._commands.jobs.further_workers import end_with_input, further_workers
from async_backfill._commands.jobs.log import last_comparison
from async_backfill._commands.jobs.numbers import JobNumber  # noqa: TC001 - cyclopts reads the annotation
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._commands.jobs.stopping import Stopping
from async_backfill._commands.jobs.view import View
from async_backfill._commands.telling import silence
from async_backfill._common.tasks_aside import tasks_aside
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from async_backfill.jobs import JobReport, Jobs

_LOOK: Final = 0.5
_BY_SIGNAL: Final = 128
_MOST_WORKERS: Final = 100
_WORKED_ON: Final = frozenset({"running", "verifying", "interrupted", "pausing", "cancelling"})
_NEVER_AGAIN: Final = frozenset({"done", "cancelled"})


async def run(
    job: JobNumber,
    /,
    *,
    workers: Annotated[int, Parameter(converter=integer)] = 1,
    dask: Annotated[
        list[str] | None, Parameter(consume_multiple=(0, 1), negative=(), show_default=False)
    ] = None,
    from_start: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """Run a job to its end, or go on with one that has stopped.

    A sample of its rows is compared with the store at the end. Ctrl-C and
    SIGTERM pause it after its pages, a second one ends the worker at once.
    Exit codes: 0 done, 1 done with gaps, 3 failed or cancelled, 4 paused.

    Parameters
    ----------
    workers:
        Work with so many processes; one that dies is started again, 5 times
        within a minute at the most.
    dask:
        Work on Dask: with the workers of the scheduler at this address, or
        without one with so many processes of a cluster of its own.
    from_start:
        Begin with the first rows again, as after the store has lost its memory.
    """
    if not 1 <= workers <= _MOST_WORKERS:
        raise ConfigurationError("workers", f"must be 1 to {_MOST_WORKERS}, not {workers}")
    if dask and (len(dask) > 1 or workers != 1):
        raise ConfigurationError("dask", "takes one address, whose workers are those of its own cluster")
    gave_up = False

    async def do(stopping: Stopping) -> None:
        nonlocal gave_up
        if dask is not None:
            await _on_dask(jobs, job, dask, stopping, workers=workers, from_start=from_start, options=options)
            return
        async with further_workers(workers - 1, job, options, stopping.asked) as further:
            await jobs.run(job, by=options.who, from_start=from_start, stop=stopping.asked)
        gave_up = further.gave_up

    async with options.jobs() as jobs:
        async with approval_asked_for(jobs, job, options):
            stopping = await _watched(jobs, job, do)
        answer = await _ended(jobs, job, stopping, options)
    return replace(answer, code=FAILED) if gave_up and answer.code == OK else answer


async def work(
    job: JobNumber | None = None,
    /,
    *,
    wait: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    until_input_ends: Annotated[bool, Parameter(negative=(), show=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """Be one more worker of a job that runs, or of all that do.

    Ctrl-C and SIGTERM end it after its pages; a job that nobody else works on
    is interrupted then: the next worker goes on with it.

    Parameters
    ----------
    wait:
        Wait for jobs to be started.
    until_input_ends:
        End in order when standard input ends.
    """
    counted = 0

    async def do(stopping: Stopping) -> None:
        nonlocal counted
        if until_input_ends:
            end_with_input()
        # A `run` that starts a failed job again counts its rows first, and ends its further workers itself.
        over = _NEVER_AGAIN if until_input_ends else OVER
        if job is None or not wait or await _runs(jobs, job, stopping, over):
            counted = await jobs.work(job, wait=wait, stop=stopping.asked, pauses=until_input_ends)

    async with options.jobs() as jobs:
        if job is not None:
            async with approval_asked_for(jobs, job, options):
                stopping = await _watched(jobs, job, do, pauses=until_input_ends)
            return await _ended(jobs, job, stopping, options)
        stopping = await _watched(jobs, None, do, pauses=False)
    code = PAUSED if stopping.asked.is_set() else OK
    data = {"worked_on": counted}
    return Answer(lines=[f"worked on {counted:,} jobs"], data=data, code=_code(stopping, code))


async def _on_dask(
    jobs: Jobs,
    job: int,
    address: Sequence[str],
    stopping: Stopping,
    *,
    workers: int,
    from_start: bool,
    options: Options,
) -> None:
    from async_backfill.jobs._dask import run_on_dask  # noqa: PLC0415 - an optional dependency

    await run_on_dask(
        jobs,
        job,
        by=options.who,
        state=options.state,
        address=next(iter(address), None),
        workers=workers,
        from_start=from_start,
        stop=stopping.asked,
    )


async def _runs(jobs: Jobs, job: int, stopping: Stopping, over: Collection[str]) -> bool:
    """Wait until a job runs; return whether it does, and was not ``over`` or stopped before."""
    while not stopping.asked.is_set() and (status := (await jobs.status(job)).status) not in over:
        if status in _WORKED_ON:
            return True
        await sleep(_LOOK)
    return False


async def _watched(
    jobs: Jobs, job: int | None, work: Callable[[Stopping], Awaitable[object]], *, pauses: bool = True
) -> Stopping:
    """Run ``work`` until its end, or until a signal ends it, and show meanwhile how the jobs get on."""
    stopping = Stopping(pauses=pauses)
    async with tasks_aside() as beside:
        with CancelScope() as scope:
            await beside.start(stopping.hear, scope)
            beside.start_soon(_show, jobs, job)
            if job is not None and pauses:
                beside.start_soon(_end_verifying, jobs, job, stopping)
            await work(stopping)
    return stopping


async def _show(jobs: Jobs, job: int | None) -> None:
    from async_backfill.jobs import JobError  # noqa: PLC0415 - who has jobs has imported it

    try:
        with View(sys.stderr) as view:
            while True:
                await sleep(view.interval)
                with suppress(JobError):  # the worker says it, if it lasts
                    view.show(await _reports(jobs, job))
    except (OSError, SystemExit):  # rich exits when nobody reads any more; the job goes on
        silence(sys.stderr)


async def _reports(jobs: Jobs, job: int | None) -> Sequence[JobReport]:
    if job is not None:
        return [await jobs.status(job)]
    return [report for report in await jobs.list() if report.status in _WORKED_ON]


async def _end_verifying(jobs: Jobs, job: int, stopping: Stopping) -> None:
    """Let a verification, which ends by a person's word only, hear of the first signal."""
    from async_backfill.jobs import JobError  # noqa: PLC0415 - who has jobs has imported it

    by = f"{socket.gethostname()}:{os.getpid()}"  # as a worker is named in the log
    await stopping.asked.wait()
    while True:
        with suppress(JobError):
            if (await jobs.status(job)).status == "verifying":
                await jobs.pause(job, by=by, reason="stopped: its last worker was ended")
        await sleep(_LOOK)


async def _ended(jobs: Jobs, job: int, stopping: Stopping, options: Options) -> Answer:
    report = await jobs.status(job)
    code = _code(stopping, code_of(report))
    more = next_step(report, options)
    if report.status in {"done", "done_with_gaps"}:
        more = last_comparison(await jobs.log(job))
    return answer_of(report, *more, code=code)


def _code(stopping: Stopping, code: int) -> int:
    return code if stopping.by is None else _BY_SIGNAL + int(signal.Signals(stopping.by))
