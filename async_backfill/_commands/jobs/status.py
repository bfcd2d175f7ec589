"""The verbs ``status`` and ``ls``: what is known of jobs now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from anyio import sleep
from cyclopts import Parameter

from async_backfill._commands.jobs.answers import OVER, Answer, answer_of, code_of, data_of
from async_backfill._commands.jobs.approval import next_step
from async_backfill._commands.jobs.numbers import JobNumber  # noqa: TC001 - cyclopts reads the annotation
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._commands.jobs.plan import plan_lines
from async_backfill._commands.jobs.view import View
from async_backfill._commands.jobs.words import share_read

if TYPE_CHECKING:
    from async_backfill.jobs import JobReport


async def status(
    job: JobNumber,
    /,
    *,
    watch: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """Show all that is known of a job.

    Parameters
    ----------
    watch:
        Show how it goes on until it is over; the exit code is that of run then.
    """
    async with options.jobs() as jobs:
        report = await jobs.status(job)
        if not watch:
            return _answer(report, options)
        with View(sys.stderr) as view:
            while report.status not in OVER:
                view.show([report])
                await sleep(view.interval)
                report = await jobs.status(job)
    return answer_of(report, code=code_of(report))


def _answer(report: JobReport, options: Options) -> Answer:
    """Return what a person needs who decides what to do next: of a job that was only planned, its plan."""
    step = next_step(report, options)
    if report.status == "planned":
        return Answer(lines=[*plan_lines(report), *step], data=data_of(report))
    return answer_of(report, *step)


async def ls(*, options: Options = USUAL) -> Answer:
    """List all jobs, the first one planned first."""
    async with options.jobs() as jobs:
        reports = await jobs.list()
    lines = [_line(report) for report in reports] or ["no job was planned yet"]
    return Answer(lines=lines, data={"jobs": [data_of(report) for report in reports]})


def _line(report: JobReport) -> str:
    name = report.name if len(report.name) <= 24 else f"{report.name[:21]}..."
    return f"{report.id:>4}  {name:<24}  {report.status.replace('_', ' '):<14}  {share_read(report)} rows"
