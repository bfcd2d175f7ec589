"""The verbs ``plan`` and ``dry-run``: what a job will do, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill._commands.jobs.answers import Answer, data_of
from async_backfill._commands.jobs.approval import next_step
from async_backfill._commands.jobs.numbers import JobNumber  # noqa: TC001 - cyclopts reads the annotation
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._commands.jobs.words import budget_words, columns, duration, place, size
from async_backfill._common.error_text import key_text
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.jobs import DryRun, JobRecord, JobReport


async def plan(
    file: str,
    /,
    *,
    budget: Annotated[str | None, Parameter(show_default=False)] = None,
    options: Options = USUAL,
) -> Answer:
    """Measure what a job will do, and keep that as its plan.

    Nothing else is written, and nothing runs before somebody approves the plan.

    Parameters
    ----------
    file:
        The job: TOML or JSON.
    budget:
        The URL of the Redis in which all workers of this and other jobs share
        one rate, as budget.url in the file.
    """
    from async_backfill.jobs import read_job  # noqa: PLC0415 - as in `Options.jobs`

    async with options.jobs(create=True) as jobs:
        spec, _ = await read_job(Path(file), budget=budget)
        job = await jobs.plan(spec, by=options.who)
    return Answer(lines=[*plan_lines(job), *next_step(job, options)], data=data_of(job))


async def dry_run(
    job: JobNumber,
    /,
    *,
    rows: Annotated[int, Parameter(converter=integer)] = 10_000,
    options: Options = USUAL,
) -> Answer:
    """Do with some rows all that a job would do, but for writing them.

    Parameters
    ----------
    rows:
        About how many, from all over the source.
    """
    if rows < 1:
        raise ConfigurationError("--rows", f"must be at least 1, not {rows}")
    async with options.jobs() as jobs:
        tried = await jobs.dry_run(job, rows=rows)
    bad = [(key_text(key), why) for key, why in tried.bad.items()]
    data = {
        **msgspec.to_builtins(replace(tried, bad={})),
        "bad": [{"key": key, "error": why} for key, why in bad],
    }
    lines = [*_dry_lines(job, tried), *(f"  {key}: {why}" for key, why in bad)]
    return Answer(lines=lines, data=data)


def plan_lines(job: JobRecord | JobReport) -> Sequence[str]:
    """Return what a job will do, and what that costs."""
    from async_backfill.jobs import estimate  # noqa: PLC0415 - who has a job has imported it

    plan, spec, cost = job.plan, job.plan.spec, estimate(job.plan)
    after = "not known: the store does not say what it uses"
    if cost.store_after is not None:
        after = size(cost.store_after)
        if cost.store_share is not None and plan.store_limit:
            after = f"{after} of {size(plan.store_limit)} ({cost.store_share:.0%})"
            if cost.store_share > spec.throttle.store_memory:
                most = f"{spec.throttle.store_memory:.0%}"
                after = f"{after}: too much, it will stop at {most}; give the store more memory"
    took = "as fast as the source, the store and the throttles let it (see dry-run)"
    if cost.seconds is not None:
        took = f"{duration(cost.seconds)} at {spec.settings.rate:,g} rows a second"
    ttl = "kept until it is evicted" if spec.ttl is None else f"kept for {duration(spec.ttl)}"
    return [
        f"job {job.id} {job.name}: {job.status}",
        *columns(
            [
                ("source", place(spec.source)),
                ("store", place(spec.store)),
                ("budget", budget_words(spec)),
                ("rows", f"{plan.rows:,} ({plan.rows_by})"),
                ("bytes", f"{size(cost.bytes)}, {plan.row_bytes:,.0f} a row by a sample"),
                ("store then", after),
                ("there now", f"{plan.present:.0%} of the keys, by a sample"),
                ("shards", f"{len(plan.cuts) + 1:,}"),
                ("time", took),
                ("writes", f"guard {spec.guard}, policy {spec.policy}, {ttl}"),
                ("hash", job.plan_hash),
            ]
        ),
    ]


def _dry_lines(job: int, tried: DryRun) -> Sequence[str]:
    left = (
        None
        if tried.eta_seconds is None
        else f"{duration(tried.eta_seconds)} for all rows, one page after the other"
    )
    bad = f"{tried.dead:,} dead, {tried.rejected:,} that the store cannot keep"
    return [
        f"job {job}: dry run, nothing was written",
        *columns(
            [
                ("rows", f"{tried.rows:,} in {tried.seconds:,.2f} s, {tried.rows_per_second:,.0f} rows/s"),
                ("bytes", size(tried.bytes)),
                ("time", left),
                ("there now", f"{tried.present:,}, of these {tried.same:,} as they are in the source"),
                ("bad", bad),
            ]
        ),
    ]
