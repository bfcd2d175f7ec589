"""Processes that die or sleep while they hold leases."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from async_backfill import BackfillCache, FarTier
from async_backfill.redis.connection import connect
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither of the signals"),
]

ROOT = Path(__file__).parents[2]


@contextmanager
def holder(url, namespace, *, seconds, count):
    """Start a process that holds leases; yield it once it does."""
    command = [sys.executable, "-m", "tests.faults.holder", url, namespace, str(seconds), str(count)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with process:
        assert process.stdout.readline() == f"held {count}\n"
        try:
            yield process
        finally:
            process.kill()


class Counted:
    def __init__(self):
        self.calls = []

    async def load_many(self, keys, /):
        self.calls.append(tuple(keys))
        await asyncio.sleep(0.01)
        return dict.fromkeys(keys, "new")


async def test_after_a_holder_was_killed_exactly_one_loads_once_its_lease_is_over(valkey_url, namespace):
    source = Counted()
    async with connect(valkey_url) as redis, connect(valkey_url) as other:
        stores = [RedisStore(one, namespace=namespace) for one in (redis, other)]
        with holder(valkey_url, namespace, seconds=0.5, count=1) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
            left = await redis.execute("PTTL", stores[0].keyspace.redis_key("k0"))
            assert 0 < left <= 500
            caches = [
                BackfillCache(source, far=FarTier(store=store, leases=RedisLeases(store), timeout=5.0))
                for store in stores
            ]
            async with caches[0] as one, caches[1] as two:
                answers = []

                async def get(cache):
                    answers.append(await cache.get("k0"))

                async with anyio.create_task_group() as tasks:
                    for cache in (one, two) * 5:
                        tasks.start_soon(get, cache)

                assert answers == ["new"] * 10
                assert source.calls == [("k0",)]
                assert one.stats.far.hits + two.stats.far.hits == 1


async def test_a_holder_that_slept_past_its_lease_writes_nothing_in_a_hundred_runs(valkey_url, namespace):
    keys = [f"k{number}" for number in range(100)]
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        with holder(valkey_url, namespace, seconds=0.3, count=100) as process:
            process.send_signal(signal.SIGSTOP)
            process.stdin.write("write\n")
            leases = RedisLeases(store, seconds=60.0)
            tokens = {}
            while len(tokens) < 100:
                with leases.watch(keys) as changed:
                    tokens |= await leases.acquire_many([key for key in keys if key not in tokens])
                    if len(tokens) < 100:
                        await changed()
            # A third has a newer value, a third another lease, a third neither.
            await leases.set_many(dict.fromkeys(keys[:33], "new"), tokens)
            await leases.release_many({key: tokens[key] for key in keys[66:]})
            process.send_signal(signal.SIGCONT)

            assert process.stdout.readline() == "kept 0\n"
        found = {key: copy.value for key, copy in (await store.get_many(keys)).items()}
        assert found == dict.fromkeys(keys[:33], "new")
        assert len(await leases.set_many(dict.fromkeys(keys[33:66], "newer"), tokens)) == 33
        await store.clear()


async def test_who_waits_for_a_lease_is_woken_and_does_not_ask_all_the_time(valkey_url, namespace):
    source = Counted()
    async with connect(valkey_url) as redis, connect(valkey_url) as other:
        store, mine = (RedisStore(one, namespace=namespace) for one in (redis, other))
        leases = RedisLeases(store, seconds=60.0)
        tokens = await leases.acquire_many(["k1"])
        tier = FarTier(store=mine, leases=RedisLeases(mine), timeout=5.0)
        async with BackfillCache(source, far=tier) as cache, anyio.create_task_group() as tasks:
            tasks.start_soon(cache.get, "k1")
            await anyio.sleep(0.5)
            looks = cache.stats.far.misses
            await leases.set_many({"k1": "new"}, tokens)

        assert looks <= 6
        assert source.calls == []
        await store.clear()


async def test_what_is_no_value_of_ours_does_not_keep_a_key_from_being_loaded(valkey_url, namespace):
    source = Counted()
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        names = store.keyspace.redis_keys([f"k{number}" for number in range(4)])
        await redis.execute("SET", names[0], b"\x80\x04K*.")  # a pickle
        await redis.execute("RPUSH", names[1], "a list")
        await redis.execute("SET", names[2], "Lease without an end")
        await redis.execute("SET", names[3], "")
        tier = FarTier(store=store, leases=RedisLeases(store), timeout=5.0)
        async with BackfillCache(source, far=tier) as cache:
            found = await cache.get_many([f"k{number}" for number in range(4)])
            await cache.settle()

            assert found == {f"k{number}": "new" for number in range(4)}
            assert len(source.calls) == 1
            assert cache.stats.far.written == 4
        await store.clear()
