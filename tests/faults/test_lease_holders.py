"""Processes that die or sleep while they hold leases."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import anyio
import pytest

from async_backfill import BackfillCache, FarTier, LoadError, LoadPolicy
from async_backfill.redis.connection import connect
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore
from tests.leases import lease

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
            assert await redis.execute("EXISTS", stores[0].keyspace.redis_key("k0"))
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


async def test_a_killed_holder_costs_a_lookup_about_a_second_and_not_its_whole_lease(valkey_url, namespace):
    source = Counted()
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        with holder(valkey_url, namespace, seconds=3600.0, count=1) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
            tier = FarTier(store=store, leases=RedisLeases(store, seconds=3600.0), timeout=30.0)
            async with BackfillCache(source, far=tier) as cache:
                with anyio.fail_after(300.0):  # of the hour that the lease takes
                    assert await cache.get("k0") == "new"
                await cache.settle()

            assert set(await store.get_many(["k0"])) == {"k0"}
        await store.clear()


async def test_hundreds_of_callers_who_hang_up_leave_no_key_leased(valkey_url, namespace):
    source, keys = Counted(), [f"k{number}" for number in range(400)]
    async with connect(valkey_url) as redis, connect(valkey_url) as other:
        store, second = (RedisStore(one, namespace=namespace) for one in (redis, other))
        tier = FarTier(store=store, leases=RedisLeases(store), timeout=5.0)
        async with BackfillCache(source, far=tier) as cache:
            for steps in range(40):
                callers = [asyncio.create_task(cache.get(key)) for key in keys[steps * 10 : steps * 10 + 10]]
                for _ in range(steps):
                    await asyncio.sleep(0)
                for caller in callers:
                    caller.cancel()
                await asyncio.gather(*callers, return_exceptions=True)
            await cache.settle()
        left = await redis.execute("KEYS", f"{namespace}:*")
        markers = [name for name in left if (await redis.execute("GET", name)).startswith(b"L")]

        assert markers == []
        assert len(await RedisLeases(second).acquire_many(keys, b"?" * 16)) >= 1
        await store.clear()


@pytest.mark.parametrize("signing_key", [None, b"a secret of this fleet"])
async def test_absence_and_failure_reach_those_who_wait_in_other_processes(
    valkey_url, namespace, signing_key
):
    class Source:
        calls = 0

        async def load_many(self, keys, /):
            self.calls += 1
            await asyncio.sleep(1.5)  # the others wait by then, and do not look, as they do each second
            if "broken" in keys:
                raise ConnectionError("down")
            return {}

    source = Source()
    async with AsyncExitStack() as stack:
        caches = []
        for _ in range(4):
            redis = await stack.enter_async_context(connect(valkey_url))
            store = RedisStore(redis, namespace=namespace, signing_key=signing_key)
            far = FarTier(store=store, leases=RedisLeases(store), timeout=30.0, lease_wait=60.0)
            caches.append(await stack.enter_async_context(BackfillCache(source, far=far)))
        for key in ("nobody", "broken"):
            source.calls = 0
            answers = await asyncio.gather(*(cache.get(key) for cache in caches), return_exceptions=True)
            assert {type(answer) for answer in answers} == {type(None) if key == "nobody" else LoadError}
            assert source.calls == 1


async def test_a_marker_of_a_lease_of_eleven_days_counts_as_none(valkey_url, namespace):
    source = Counted()
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        forged = b"L" + b"x" * 16 + b"%013d" % int((time.time() + 1e6) * 1000)
        await redis.execute("SET", store.keyspace.redis_key("k0"), forged, "PX", 1_000_000_000)
        tier = FarTier(store=store, leases=RedisLeases(store), timeout=30.0, lease_wait=3600.0)
        async with BackfillCache(source, far=tier, load=LoadPolicy(timeout=None)) as cache:
            with anyio.fail_after(300.0):  # of the hour that a lease would be waited for
                assert await cache.get("k0") == "new"
            await cache.settle()
        assert set(await store.get_many(["k0"])) == {"k0"}
        await store.clear()


async def test_a_write_that_a_full_server_refuses_leaves_no_key_leased(valkey, namespace):
    class Filling(Counted):
        async def load_many(self, keys, /):
            await redis.execute("CONFIG", "SET", "maxmemory", 1)
            return await super().load_many(keys)

    async with connect(valkey.url) as redis:
        store = RedisStore(redis, namespace=namespace)
        tier = FarTier(store=store, leases=RedisLeases(store), timeout=5.0)
        async with BackfillCache(Filling(), far=tier) as cache:
            assert await cache.get("k0") == "new"
            await cache.settle()

        assert cache.stats.far.unwritten == 1
        assert cache.stats.far.unreleased == 0
        assert await redis.execute("EXISTS", store.keyspace.redis_key("k0")) == 0


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
                    tokens |= await lease(leases, [key for key in keys if key not in tokens])
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
        tokens = await lease(leases, ["k1"])
        tier = FarTier(store=mine, leases=RedisLeases(mine, seconds=60.0), timeout=5.0)
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
