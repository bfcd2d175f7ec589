"""The verb ``dead``: the rows that could not be copied although others of their page could."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from async_backfill._commands.jobs.answers import GAPS, OK, Answer
from async_backfill._commands.jobs.numbers import JobNumber  # noqa: TC001 - cyclopts reads the annotation
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._common.error_text import key_text


async def dead(
    job: JobNumber,
    /,
    *,
    retry: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """List the rows that could not be copied, with their errors.

    Parameters
    ----------
    retry:
        Read them again, and write those that can be written now; exit 1 if any are left.
    """
    async with options.jobs() as jobs:
        if not retry:
            rows = [(key_text(key), error) for key, error in (await jobs.dead(job)).items()]
            return Answer(lines=_lines(rows), data={"job": job, "dead": _data(rows)})
        done = await jobs.retry_dead(job, by=options.who)
    rows = [(key_text(key), error) for key, error in done.dead.items()]
    gone = f", {done.gone:,} of them because the source has them no more" if done.gone else ""
    data = {"job": job, "written": done.written, "gone": done.gone, "dead": _data(rows)}
    lines = [f"{done.written:,} are dead no more{gone}", *_lines(rows)]
    return Answer(lines=lines, data=data, code=GAPS if rows else OK)


def _lines(rows: list[tuple[str, str]]) -> list[str]:
    return [f"{len(rows):,} dead rows", *(f"  {key}: {error}" for key, error in rows)]


def _data(rows: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"key": key, "error": error} for key, error in rows]
