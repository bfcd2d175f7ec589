"""The verbs ``approve`` and ``revoke``, and what to do when an approval is missing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta  # noqa: TC003 - cyclopts reads the annotation
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from async_backfill._commands.jobs.answers import Answer, answer_of
from async_backfill._commands.jobs.numbers import JobNumber, Rows  # noqa: TC001 - cyclopts reads them
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._commands.jobs.words import moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backfill.jobs import JobRecord, JobReport, Jobs

_NEEDED: Final = "needs approval"


async def approve(
    job: JobNumber,
    /,
    *,
    plan: str,
    reason: str,
    rows: Rows = None,
    for_: Annotated[timedelta | None, Parameter(name="--for", show_default=False)] = None,
    options: Options = USUAL,
) -> Answer:
    """Allow that the plan of a job runs, once.

    The approval ends after so many rows, or after so long.

    Parameters
    ----------
    plan:
        The hash of the plan, as plan printed it.
    reason:
        Why it may run, for the log.
    rows:
        The most rows that are read [those of the plan, and a fifth].
    for_:
        How long it holds, such as 90m or 12h [12h].
    """
    async with options.jobs() as jobs:
        seconds = None if for_ is None else for_.total_seconds()
        given = await jobs.approve(
            job, plan_hash=plan, by=options.who, reason=reason, max_rows=rows, seconds=seconds
        )
    said = f"job {job} is approved by {given.by}: {given.max_rows:,} rows until {moment(given.expires)}"
    return Answer(
        lines=[said, f"start it with: {options.command('run', str(job))}"], data=msgspec.to_builtins(given)
    )


async def revoke(job: JobNumber, /, *, reason: str | None = None, options: Options = USUAL) -> Answer:
    """Take the approval of a job back.

    Its workers begin no further page, and it pauses.

    Parameters
    ----------
    reason:
        Why, for the log.
    """
    async with options.jobs() as jobs:
        await jobs.revoke(job, by=options.who, reason=reason)
        return answer_of(await jobs.status(job), "its approval was taken back")


@asynccontextmanager
async def approval_asked_for(jobs: Jobs, job: int, options: Options) -> AsyncIterator[None]:
    """Let a refusal for lack of approval say which command gives one, inside ``async with``."""
    from async_backfill.jobs import JobRefusedError  # noqa: PLC0415 - who has jobs has imported it

    try:
        yield
    except JobRefusedError as error:
        if _NEEDED not in str(error):
            raise
        report = await jobs.status(job)
        raise JobRefusedError(f"{error}; approve it with: {_command(report, options)}") from error


def next_step(report: JobRecord | JobReport, options: Options) -> list[str]:
    """Return the command that brings a job further; nothing for one that is worked on, or over."""
    if report.status == "planned":
        return ["nothing runs before somebody approves it:", _command(report, options)]
    if report.status == "paused" and report.reason is not None and _NEEDED in report.reason:
        return [f"approve it with: {_command(report, options)}"]
    said = {
        "approved": "start it with",
        "paused": "go on with",
        "interrupted": "nobody works on it, go on with",
    }
    if report.status not in said:
        return []
    return [f"{said[report.status]}: {options.command('run', str(report.id))}"]


def _command(report: JobRecord | JobReport, options: Options) -> str:
    return options.approve_command(report.id, report.plan_hash)
