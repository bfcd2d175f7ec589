"""The verb ``log``: what was done to a job, when and by whom, and whether nobody has changed that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from async_backfill._commands.jobs.answers import GAPS, Answer
from async_backfill._commands.jobs.numbers import JobNumber  # noqa: TC001 - cyclopts reads the annotation
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._commands.jobs.words import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.jobs import LogLine


async def log(
    job: JobNumber,
    /,
    *,
    verify: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """Show what was done to a job, when and by whom.

    Parameters
    ----------
    verify:
        Check that no line was changed, removed or cut off instead; exit 1 if one was.
    """
    async with options.jobs() as jobs:
        lines = await jobs.log(job)
        bad = await jobs.check_log(job) if verify else None
    data: dict[str, Any] = {"job": job, "lines": [msgspec.to_builtins(line) for line in lines]}
    if not verify:
        return Answer(lines=[_line(line) for line in lines], data=data)
    if bad is not None:
        said = f"the log of job {job} is not what was written: line {bad} was changed, removed or cut off"
        return Answer(lines=[said], data={**data, "first_bad_line": bad}, code=GAPS)
    whole = f"the log of job {job} is whole: {len(lines):,} lines"
    head = lines[-1].hash if lines else ""
    return Answer(lines=[whole, f"head: {head}"], data={**data, "first_bad_line": None, "head": head})


def _line(line: LogLine) -> str:
    return f"{line.number:>3}  {moment(line.at)}  {line.by}  {line.what}  {_facts(line.facts)}".rstrip()


def last_comparison(lines: Sequence[LogLine]) -> list[str]:
    """Return what the last verification in a log found; nothing when there was none."""
    found = [msgspec.json.decode(line.facts) for line in lines if line.what == "verified"][-1:]
    return [
        f"compared    {facts['compared']:,} rows{'' if facts['is_all'] else ', a sample'}: "
        f"{facts['wrong'] + facts['missing'] + (facts['extra'] or 0) + facts['unread']:,} differences"
        for facts in found
    ]


def _facts(text: str) -> str:
    """Return what is said in the facts of a line, without what is not set, and counts of 0."""
    try:
        facts = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    if not isinstance(facts, dict):
        return text
    return ", ".join(f"{name} {_fact(value)}" for name, value in facts.items() if value or name == "shard")


def _fact(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return f"{value[:12]}..."
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_fact(each)}" for name, each in value.items() if each) + ")"
    return str(value)
