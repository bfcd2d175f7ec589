"""The copies that are compared, each timed from its first connection to its last reply."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from async_backfill.jobs import JobEnds, Jobs, JobSpec, JobStatus, JobStatusChanged, SQLiteJobState
from async_backfill.warming import copy_rows
from benchmarks.backfill.table import TTL
from benchmarks.backfill.usage import peak_memory
from benchmarks.jobs.forgetful import Forgetful
from benchmarks.jobs.places import ends_at
from benchmarks.jobs.used import Used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from async_backfill.contracts import JobState
    from async_backfill.jobs import AnyJobEvent
    from benchmarks.jobs.places import Place

Contender: TypeAlias = Literal["unguarded", "guarded", "job", "job, no state"]
CONTENDERS: Final[tuple[Contender, ...]] = ("unguarded", "guarded", "job", "job, no state")

_WRITE_TIMEOUT: Final = 60.0  # a busy machine is slow, which is no fault of the store
_STATE: Final = "jobs.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One copy, and what it used.

    ``verified``
        the same with the comparison of a sample that ends a job.
    ``status``
        that of the job, at its end.
    """

    rows: int
    used: Used
    verified: Used
    pages: int
    status: str = "done"
    peak_bytes: int | None = None


async def timed(contender: Contender, place: Place) -> Timed:
    """Copy the table like ``contender``; the start of Python is not counted, nor is the plan of a job."""
    if contender in {"unguarded", "guarded"}:
        made = await _copied(place, "none" if contender == "unguarded" else "stamp")
    else:
        made = await _worked_on(place, keeps=contender == "job")
    return replace(made, peak_bytes=peak_memory())


async def _copied(place: Place, guard: Literal["stamp", "none"]) -> Timed:
    before = Used.until_now(place)
    async with ends_at(place) as (source, store):
        copied = await copy_rows(source.rows(), store, guard=guard, ttl=TTL, write_timeout=_WRITE_TIMEOUT)
    used = Used.until_now(place) - before
    return Timed(rows=copied.kept, used=used, verified=used, pages=copied.pages)


async def _worked_on(place: Place, *, keeps: bool) -> Timed:
    async with SQLiteJobState(Path(place.folder) / _STATE) as file:
        state: JobState = file if keeps else Forgetful(file)
        read: list[Used] = []

        def see(event: AnyJobEvent) -> None:
            if isinstance(event, JobStatusChanged) and event.status is JobStatus.VERIFYING:
                read.append(Used.until_now(place))

        async with planned(state, place, see) as (jobs, number):
            before = Used.until_now(place)
            report = await jobs.run(number, by="benchmark")
            verified = Used.until_now(place) - before
    return Timed(
        rows=report.counts.kept if keeps else place.rows,
        used=read[0] - before,
        verified=verified,
        pages=report.pages,
        status=report.status,
    )


@asynccontextmanager
async def planned(
    state: JobState, place: Place, *observers: Callable[[AnyJobEvent], None]
) -> AsyncIterator[tuple[Jobs, int]]:
    """Plan and approve a job for ``async with``; yield its number."""

    @asynccontextmanager
    async def open_ends(_: JobSpec) -> AsyncIterator[JobEnds[Any, Any]]:
        async with ends_at(place) as (source, store):
            yield JobEnds(rows=source, source=source, source_facts=source, store=store, store_facts=store)

    spec = JobSpec(name="benchmark", source={"kind": "sql"}, store={"kind": "any"}, ttl=TTL)
    async with Jobs(state, open_ends=open_ends, observers=observers) as jobs:
        job = await jobs.plan(spec, by="benchmark")
        await jobs.approve(job.id, plan_hash=job.plan_hash, by="benchmark", reason="to measure it")
        yield jobs, job.id
