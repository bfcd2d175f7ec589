"""The verbs ``pause``, ``resume``, ``cancel``, ``set`` and ``panic``: what a person asks of jobs that run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from async_backfill._commands.jobs.answers import Answer, answer_of
from async_backfill._commands.jobs.approval import approval_asked_for, next_step
from async_backfill._commands.jobs.numbers import JobNumber, settings_of
from async_backfill._commands.jobs.options import USUAL, Options


async def pause(job: JobNumber, /, *, reason: str | None = None, options: Options = USUAL) -> Answer:
    """Ask a job to pause, once its pages that have begun are ended.

    Parameters
    ----------
    reason:
        Why, for the log.
    """
    async with options.jobs() as jobs:
        await jobs.pause(job, by=options.who, reason=reason)
        return answer_of(await jobs.status(job))


async def resume(
    job: JobNumber,
    /,
    *,
    from_start: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """Let a job go on with the workers that there are.

    This starts none: run does the same, and works on it.

    Parameters
    ----------
    from_start:
        Begin with the first rows again, as after the store has lost its memory.
    """
    async with options.jobs() as jobs:
        async with approval_asked_for(jobs, job, options):
            await jobs.resume(job, by=options.who, from_start=from_start)
        report = await jobs.status(job)
    return answer_of(report, *next_step(report, options))


async def cancel(job: JobNumber, /, *, reason: str | None = None, options: Options = USUAL) -> Answer:
    """Ask a job to end for good; what it has written stays.

    Parameters
    ----------
    reason:
        Why, for the log.
    """
    async with options.jobs() as jobs:
        await jobs.cancel(job, by=options.who, reason=reason)
        return answer_of(await jobs.status(job))


async def set_(job: JobNumber, /, *settings: str, options: Options = USUAL) -> Answer:
    """Change settings of a job, also while it runs.

    Example: set 7 rate=5000 batch=auto lanes=4

    Parameters
    ----------
    settings:
        rate (rows a second, or none), batch (rows a page, or auto), lanes (pages at once of a worker),
        pages (pages at once of all workers, or none; needs a budget).
    """
    given = settings_of(settings)
    async with options.jobs() as jobs:
        await jobs.set(job, by=options.who, **given)
        return answer_of(await jobs.status(job))


async def panic(*, reason: str | None = None, options: Options = USUAL) -> Answer:
    """Ask all jobs that run to pause.

    Parameters
    ----------
    reason:
        Why, for the log.
    """
    async with options.jobs() as jobs:
        asked = await jobs.panic(by=options.who, reason=reason)
    numbers = ", ".join(map(str, asked))
    said = f"jobs that were asked to pause: {numbers}" if asked else "no job runs: nothing was to be paused"
    return Answer(lines=[said], data={"jobs": list(asked)})
