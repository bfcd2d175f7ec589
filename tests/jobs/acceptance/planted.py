"""A11: a verification finds what was planted beside 500 writes a second; and what a sample costs."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

import anyio
import sqlalchemy as sa
from anyio import create_task_group, current_time, sleep

from async_backfill._jobs._verifying.verify import verify
from async_backfill._jobs._verifying.verifying import Request
from async_backfill.jobs import JobSettings, JobStatus
from async_backfill.sources.sql import open_database
from tests.jobs.acceptance.place import Place, Shown, approved, ends_of, execute, make_table, worked

EACH, WRITES = 30, 500.0


async def _run(place: Place, rows: int) -> Shown:
    await make_table(place, rows)
    await approved(place, place.spec(settings=JobSettings(lanes=2), shards=8))
    begin = time.perf_counter()
    copied = await worked(place, 1, request=Request(sample=1))
    copy_seconds = time.perf_counter() - begin
    assert copied.status is JobStatus.DONE, copied
    draw = random.Random(1)
    some = draw.sample(range(rows), 3 * EACH)
    wrong, missing, extra = (some[at : at + EACH] for at in range(0, 3 * EACH, EACH))
    others = sorted(set(draw.sample(range(rows), 5_000)) - set(some))
    async with ends_of(place, 1) as (state, ends), open_database(place.url) as engine:
        store: Any = ends.store
        begin = time.perf_counter()
        await verify(state, 1, ends, Request(), by="ada")
        sample_seconds = time.perf_counter() - begin
        await store.set_many(dict.fromkeys(wrong, "planted"))
        await store.delete_many(missing)
        keys = ", ".join(map(str, extra))
        await execute(place, f"DELETE FROM products WHERE id IN ({keys})")  # noqa: S608 - numbers
        written = 0

        async def write() -> None:
            nonlocal written
            start = current_time()
            while True:
                key, price = draw.choice(others), f"changed {written}"
                async with engine.begin() as connection:
                    change = sa.text("UPDATE products SET price = :price WHERE id = :id")
                    await connection.execute(change, {"price": price, "id": key})
                await store.set_many({key: price})
                written += 1
                await sleep(max(0.0, start + written / WRITES - current_time()))

        async with create_task_group() as tasks:
            tasks.start_soon(write)
            begin = time.perf_counter()
            found = await verify(state, 1, ends, Request(sample=None, extra=True), by="ada")
            all_seconds = time.perf_counter() - begin
            tasks.cancel_scope.cancel()
    share = sample_seconds / copy_seconds
    return Shown(
        (found.wrong, found.missing, found.extra, found.unread) == (EACH, EACH, EACH, 0) and share <= 0.1,
        f"{found.wrong} wrong, {found.missing} missing, {found.extra} extra found of {EACH} each, of "
        f"{rows:,} rows, beside {written / all_seconds:.0f} writes a second; "
        f"a sample is {share:.3f} of a copy",
    )


def show(place: Place, *, rows: int) -> Shown:
    """Plant, and look."""
    return anyio.run(partial(_run, place, rows))
