"""What a job is told of a store in Redis: its mark, its memory, its evictions and its clock."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.redis._cluster import SLOTS, hash_slot
from async_backfill.redis._job_facts import _tags
from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio


async def test_a_server_that_lost_its_memory_has_lost_the_mark(valkey):
    server = valkey()
    async with connect(server.url) as redis:
        store = RedisStore(redis, namespace="n")
        await store.mark("7", "3f9c")
        assert await redis.execute("PTTL", "n!job:7") == -1  # it never expires
        await redis.execute("FLUSHALL")
        assert await store.marked("7") is None


async def test_the_state_is_what_the_server_says(valkey):
    server = valkey("--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru")
    async with connect(server.url) as redis:
        store = RedisStore(redis, namespace="n")
        before = await store.state()
        assert (before.limit, before.evicted) == (20 * 2**20, 0)
        assert 0 < before.used < before.limit
        assert abs(before.clock - time.time()) < 60.0
        for page in range(30):
            await store.set_many({f"{page}/{row}": "x" * 100_000 for row in range(10)})
        after = await store.state()

        assert after.evicted > 0
        assert after.used > before.used


async def test_a_server_that_was_restarted_says_so(valkey):
    server = valkey()

    async def run():
        async with connect(server.url) as redis:
            return (await RedisStore(redis, namespace="n").state()).run

    before = await run()
    assert before == await run()
    server.restart()
    assert len({None, before, await run()}) == 3


async def test_without_a_limit_there_is_none(valkey):
    server = valkey()
    async with connect(server.url) as redis:
        assert (await RedisStore(redis, namespace="n").state()).limit is None


async def test_who_may_not_ask_for_the_memory_is_told_the_time(valkey):
    server = valkey()
    async with connect(server.url) as redis:
        await redis.execute("ACL", "SETUSER", "default", "-info")
        store = RedisStore(redis, namespace="n")
        state = await store.state()
        await store.mark("7", "3f9c")

        assert (state.used, state.limit, state.evicted, state.run) == (None, None, None, None)
        assert state.clock > 0
        assert await store.marked("7") == "3f9c"


def test_a_mark_has_a_part_in_each_64th_of_the_slots():
    parts = {hash_slot(tag) * 64 // SLOTS for tag in _tags()}
    assert (len(_tags()), parts) == (64, set(range(64)))
