"""A verification on PostgreSQL and Valkey, beside writers, finds what was planted, and nothing else."""

from __future__ import annotations

import random
import uuid
from math import inf

import pytest
from anyio import create_task_group, sleep

from async_backfill._jobs._ends import JobEnds
from async_backfill._jobs._rewriting import Rewriting
from async_backfill._jobs._verifying.comparison import Comparison
from async_backfill._jobs._verifying.extras import Extras
from async_backfill._jobs._verifying.walk import Walk
from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource
from tests.jobs.table import spec_of
from tests.jobs.test_verifying import never, shard
from tests.sources.sql_tables import execute, rows_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    """In real time: servers take some."""
    return "asyncio"


ROWS = 1000
PLANTED = 30


async def test_ninety_planted_differences_are_found_and_repaired_beside_writers(postgres_url, valkey_url):
    rows = [(f"k{number:05}", "new", number) for number in range(ROWS)]
    draw = random.Random(1)
    some = draw.sample([key for key, _, _ in rows], 3 * PLANTED)
    wrong, missing, extra = (sorted(some[at : at + PLANTED]) for at in range(0, 3 * PLANTED, PLANTED))
    others = sorted({key for key, _, _ in rows} - set(some))
    async with (
        rows_in(postgres_url, rows) as (engine, table),
        connect(valkey_url) as redis,
        SQLSource.connect(postgres_url, table, key="id", value=("name", "price")) as source,
    ):
        store = RedisStore(redis, namespace=f"verify-{uuid.uuid4().hex}")
        ends = JobEnds(rows=source, source=source, store=store)
        async for page in source.rows():
            await store.set_many(page, ttl=600.0)
        await store.set_many(dict.fromkeys(wrong, "planted"), ttl=600.0)
        await store.delete_many(missing)
        await execute(engine, f"DELETE FROM {table} WHERE id = ANY(:keys)", {"keys": extra})  # noqa: S608
        done = [shard(0, None, None, rows[-1][0], read=ROWS)]

        async def compared(rewriting=None):
            comparison = Comparison(
                ends,
                dead=frozenset(),
                expires_from=inf,
                rewriting=rewriting,
                apart=0.2,
                seconds=30.0,
            )
            await Walk(ends, done, comparison, rate=None, seconds=30.0, stopped=never).over_all()
            return comparison.result(is_all=True)

        async def write():
            while True:
                key = draw.choice(others)
                price = draw.randrange(10**6)
                statement = f"UPDATE {table} SET price = :price WHERE id = :id RETURNING name, price"  # noqa: S608
                found = await execute(engine, statement, {"price": price, "id": key})
                await store.set_many({key: dict(found[0]._mapping)}, ttl=600.0)
                await sleep(0.002)

        async with create_task_group() as tasks:
            tasks.start_soon(write)
            first = await compared()
            keys = [key async for page in Extras(ends, apart=0.2, seconds=30.0).pages() for key in page]
            repaired = await compared(Rewriting(ends, spec_of(ttl=600.0), seconds=30.0))
            again = await compared()
            tasks.cancel_scope.cancel()

        assert (first.wrong, first.missing) == (PLANTED, PLANTED)
        assert sorted(keys) == extra
        assert repaired.repaired == 2 * PLANTED
        assert again.differences == 0
        await store.clear()
