"""A12: a store that loses rows of a job, or takes none: the job is never done with a row missing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
from anyio import create_task_group, sleep

from async_backfill.jobs import Jobs, JobSettings, JobStatus, ThrottleLimits
from async_backfill.redis.connection import connect
from tests.jobs.acceptance.place import (
    Place,
    Shown,
    anew,
    approved,
    differing,
    make_table,
    on_servers,
    worked,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = 900
WAYS = ("restarted empty", "noeviction", "allkeys-lru")


async def _read_so_far(place: Place) -> int:
    async with Jobs(place.state) as jobs:
        return (await jobs.status(1)).counts.read


async def _redis(place: Place, *commands: Sequence[object]) -> list[object]:
    assert place.valkey is not None
    async with connect(place.valkey.url) as connection:
        return [await connection.execute(*command) for command in commands]  # type: ignore[arg-type]


async def _memory(place: Place) -> int:
    (told,) = await _redis(place, ("INFO", "memory"))
    return int(dict(line.split(b":", 1) for line in told.splitlines() if b":" in line)[b"used_memory"])  # type: ignore[attr-defined]


async def _evicted(place: Place) -> int:
    (told,) = await _redis(place, ("INFO", "stats"))
    return int(dict(line.split(b":", 1) for line in told.splitlines() if b":" in line)[b"evicted_keys"])  # type: ignore[attr-defined]


async def _strain(place: Place, way: str, rows: int) -> None:
    """Once a third is copied, restart the store or take its memory away."""
    while await _read_so_far(place) < rows // 3:  # noqa: ASYNC110 - the state says it
        await sleep(0.02)
    assert place.valkey is not None
    if way == "restarted empty":
        place.valkey.restart()
        return
    limit = await _memory(place) + rows * SIZE // 10  # for a tenth of the rows more
    await _redis(place, ("CONFIG", "SET", "maxmemory-policy", way), ("CONFIG", "SET", "maxmemory", limit))


async def _run(place: Place, way: str, rows: int, batch: int) -> Shown:
    await _redis(place, ("FLUSHALL",), ("CONFIG", "SET", "maxmemory", 0), ("CONFIG", "RESETSTAT"))
    # So that what is shown is what the store does, and not that the job waited before it was full.
    limits = ThrottleLimits(store_memory=1.0, patience=1.0)
    settings = JobSettings(batch=batch, lanes=1, rate=batch * 50.0)
    await approved(place, place.spec(settings=settings, shards=4, throttle=limits))
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(create_task_group())
        tasks.start_soon(_strain, place, way, rows)
        first = await worked(place, 1)
        tasks.cancel_scope.cancel()
    evicted = await _evicted(place)
    # More memory, and on; after an empty restart from the start.
    await _redis(place, ("CONFIG", "SET", "maxmemory", 0))
    async with Jobs(place.state) as jobs:
        await jobs.resume(1, by="bob", from_start=way == "restarted empty")
    last = await worked(place, 1, owner="w2")
    wrong, missing = await differing(place, 1)
    is_right = first.status is not JobStatus.DONE and not wrong
    says_so = (last.status is JobStatus.DONE) is (missing == 0)
    return Shown(
        is_right and says_so and evicted <= 2 * batch,
        f"{way}: {first.status}: {first.reason}; evicted {evicted:,} (a page is {batch}); then {last.status}"
        f"{': ' + last.reason if last.reason else ''}, {missing:,} of {rows:,} rows missing, {wrong} wrong",
    )


def show(place: Place, *, rows: int, batch: int, ways: Sequence[str] = WAYS) -> Shown:
    """Run a job into each store."""
    anyio.run(lambda: make_table(place, rows, size=SIZE))
    found = []
    for number, way in enumerate(ways):
        with anew(place, f"store{number}") as its:
            found.append(anyio.run(_run, its, way, rows, batch))
    return Shown(all(one.holds for one in found), " | ".join(one.figures for one in found))


if __name__ == "__main__":
    with on_servers() as here:
        print(show(here, rows=30_000, batch=500))  # noqa: T201
