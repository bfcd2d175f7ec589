"""A1: jobs beside writers in processes of their own: no old value, and no row that was deleted, is left."""

from __future__ import annotations

import multiprocessing
import random
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import sqlalchemy as sa
from anyio import sleep

from async_backfill.jobs import JobEnds, JobSettings, JobStatus
from async_backfill.sources.sql import open_database
from tests.jobs.acceptance.place import Place, Shown, anew, approved, ends_of, execute, make_table, worked

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

WRITERS, BATCH = 3, 1_000
_NEXT = "UPDATE products SET price = CAST(CAST(price AS INTEGER) + 1 AS TEXT) WHERE id = :id RETURNING price"


class _Held:
    """Rows each page of which is on its way for so many seconds."""

    def __init__(self, rows: Any, seconds: float) -> None:
        self._rows = rows
        self._seconds = seconds
        self.cuts = rows.cuts

    async def rows(self, **bounds: Any) -> Any:
        async with aclosing(self._rows.rows(**bounds)) as pages:
            async for page in pages:
                await sleep(self._seconds)
                yield page


async def _write(place: Place, rows: int, seed: int, ends: Event, count: Synchronized[int]) -> None:
    """Change and delete rows, and put or remove their copies, as a cache of the product does."""
    draw = random.Random(seed)
    async with ends_of(place, 1) as (_, opened), open_database(place.url) as engine:
        store: Any = opened.store
        while not ends.is_set():
            key = draw.randrange(rows)
            is_deleted, is_put = draw.random() < 0.05, draw.random() < 0.5
            statement = "DELETE FROM products WHERE id = :id" if is_deleted else _NEXT
            async with engine.begin() as connection:
                result = await connection.execute(sa.text(statement), {"id": key})
                price = result.scalar_one_or_none() if result.returns_rows else None
            if is_put and price is not None:
                await store.set_many({key: price}, ttl=3600.0)
            else:
                await store.delete_many([key])
            with count.get_lock():
                count.value += 1


def _writer(*given: Any) -> None:
    anyio.run(_write, *given)


async def _compared(place: Place, rows: int) -> tuple[int, int]:
    """Return how many values are older than their rows, and how many have no row any more."""
    truth = dict(map(tuple, await execute(place, "SELECT id, price FROM products")))
    old = back = 0
    async with ends_of(place, 1) as (_, ends):
        for start in range(0, rows, 5_000):
            found = await ends.store.get_many(tuple(range(start, min(rows, start + 5_000))))
            back += sum(key not in truth for key in found)
            old += sum(key in truth and copy.value != truth[key] for key, copy in found.items())
    return old, back


def race(place: Place, guard: str, *, rows: int, hold: float, seed: int) -> tuple[int, int, int, str]:
    """Return the old values, the rows that are back, the writes beside the job, and how it ended."""
    anyio.run(make_table, place, rows)
    anyio.run(execute, place, "UPDATE products SET price = '0'")
    spec = place.spec(settings=JobSettings(batch=BATCH, lanes=2), guard=guard, shards=8, ttl=3600.0)
    anyio.run(approved, place, spec)
    forks = multiprocessing.get_context("fork")
    ends, count = forks.Event(), forks.Value("i", 0)
    processes = [
        forks.Process(target=_writer, args=(place, rows, seed + number, ends, count))
        for number in range(WRITERS)
    ]
    for process in processes:
        process.start()

    def held(opened: JobEnds[Any, Any]) -> JobEnds[Any, Any]:
        return replace(opened, rows=_Held(opened.rows, hold))

    async def copied() -> Any:
        while count.value < 10:  # noqa: ASYNC110 - another process counts
            await sleep(0.02)
        return await worked(place, 1, wrap=held)

    try:
        record = anyio.run(copied)
        writes = count.value
    finally:
        ends.set()
        for process in processes:
            process.join(60.0)
    old, back = anyio.run(_compared, place, rows)
    return old, back, writes, str(record.status)


def show(place: Place, *, rows: int, hold: float, runs: int, least: int, seed: int = 1) -> Shown:
    """Race each guard so many times; no guard once, and it must show some."""
    guards = {"none": 1, "stamp": runs} | ({} if place.kind == "files" else {"recheck": runs})
    said, holds = [], True
    for guard, times in guards.items():
        old = back = writes = 0
        fewest = 10**9
        for number in range(times):
            with anew(place, f"{guard}{number}") as its:
                one, other, beside, status = race(its, guard, rows=rows, hold=hold, seed=seed + 10 * number)
            old, back, writes, fewest = old + one, back + other, writes + beside, min(fewest, beside)
            holds = holds and status in {JobStatus.DONE, JobStatus.DONE_WITH_GAPS}
        is_right = old + back > 0 if guard == "none" else old + back == 0
        holds = holds and is_right and (guard == "none" or fewest >= least)
        said.append(f"{guard}: {old} old, {back} back beside {writes:,} writes in {times} runs")
    return Shown(holds, "; ".join(said))
