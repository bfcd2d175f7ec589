"""What was read before a change in another process never undoes it: single loads, and pages."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, ConfigurationError, FarTier, FreshnessPolicy, StalePageError
from async_backfill.redis.connection import connect
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore
from tests.leases import lease

pytestmark = pytest.mark.anyio


class Held:
    """A source whose calls read the rows at once, and answer when they are let go."""

    def __init__(self, rows):
        self.rows = rows
        self.calls = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def load_many(self, keys, /):
        self.calls += 1
        found = {key: self.rows[key] for key in keys if key in self.rows}
        self.begun.set()
        await self.go.wait()
        return found


@pytest.fixture
async def store(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        yield RedisStore(redis, namespace=namespace)


@pytest.fixture
async def other(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        yield RedisStore(redis, namespace=namespace)


def cache_of(source, store, **freshness):
    freshness = FreshnessPolicy(**freshness) if freshness else None
    return BackfillCache(source, far=FarTier(store=store, timeout=30.0), freshness=freshness)


async def put(store):
    await store.set_many({"k": "new"}, ttl=60.0)


async def invalidate(store):
    await store.delete_many(["k"])


async def clear(store):
    await store.clear()


async def values(store):
    return {key: copy.value for key, copy in (await store.get_many(["k"])).items()}


@pytest.mark.parametrize(("change", "left"), [(put, {"k": "new"}), (invalidate, {}), (clear, {})])
async def test_a_load_that_began_before_a_change_elsewhere_is_not_written_after_it(
    store, other, change, left
):
    source = Held({"k": "old"})
    async with cache_of(source, store) as cache, anyio.create_task_group() as tasks:
        tasks.start_soon(cache.get, "k")
        await source.begun.wait()
        await change(other)
        source.go.set()
        await cache.settle()
        assert await values(other) == left
        assert (cache.stats.far.written, cache.stats.far.unwritten) == (0, 1)


@pytest.mark.parametrize("change", [put, invalidate])
async def test_what_a_process_meets_while_it_loads_stays_as_well(store, other, change):
    read_at = store.now()
    await change(other)
    left = await values(store)
    for page in ({"k": "old"}, store.seal({"k": "old"}, read_at=read_at)):
        assert (await store.set_page(page, read_at=read_at)).newer == ["k"]

    assert await values(other) == left


@pytest.mark.parametrize("change", [invalidate, clear])
async def test_a_load_that_begins_after_a_change_elsewhere_is_written_at_once(store, other, change):
    source = Held({"k": "new"})
    source.go.set()
    async with cache_of(source, store) as cache:
        await cache.get("k")
        await cache.settle()
        await change(other)
        await cache.invalidate("k") if change is invalidate else await cache.clear()
        await cache.get("k")
        await cache.settle()

        assert await values(other) == {"k": "new"}
        assert cache.stats.far.written == 2


async def test_after_an_invalidation_the_second_process_reads_what_the_first_loads(store, other):
    source = Held({"k": "new"})
    source.go.set()
    await put(store)
    async with cache_of(source, store) as first, cache_of(source, other) as second:
        await second.invalidate("k")
        await first.get("k")
        await first.settle()
        await second.get("k")

    assert source.calls == 1


async def test_a_refresh_replaces_a_copy_that_is_young(store, other):
    source = Held({"k": "old"})
    source.go.set()
    async with cache_of(source, store) as cache:
        await cache.get("k")
        await cache.settle()
        source.rows["k"] = "new"
        await cache.refresh("k")
        await cache.settle()

        assert await values(other) == {"k": "new"}


async def test_a_value_whose_ttl_is_shorter_than_the_margin_is_written_again(store, other):
    source = Held({"k": "old"})
    source.go.set()
    async with cache_of(source, store, ttl=0.2, stale_for=60.0) as cache:
        await cache.get("k")
        await cache.settle()
        source.rows["k"] = "new"
        await asyncio.sleep(0.25)
        await cache.refresh("k")
        await cache.settle()

        assert await values(other) == {"k": "new"}


@pytest.mark.parametrize("leased", [False, True], ids=["", "leases"])
async def test_the_age_of_a_loaded_value_counts_from_the_begin_of_its_load(store, other, leased):
    source = Held({"k": "new"})
    tier = FarTier(store=store, leases=RedisLeases(store) if leased else None, timeout=30.0)
    async with BackfillCache(source, far=tier, freshness=FreshnessPolicy(ttl=3600.0)) as cache:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cache.get, "k")
            await source.begun.wait()
            begun = time.time()
            await asyncio.sleep(0.5)
            source.go.set()
        await cache.settle()
        copy = (await other.get_many(["k"]))["k"]
        asked = time.time()
        left = await store.connection.execute("PTTL", store.keyspace.redis_key("k"))

        assert copy.age >= 0.5
        # What the write takes on its way to the server is not known when its ttl is said.
        assert left / 1000.0 <= begun + 3600.0 - asked + 0.3


async def test_a_tombstone_is_a_miss_and_nothing_wrong(store):
    await invalidate(store)

    assert await values(store) == {}
    assert store.rejected == {}
    assert 0 < await store.connection.execute("PTTL", store.keyspace.redis_key("k")) <= 60_000


async def test_a_page_that_slept_on_its_way_is_refused_by_the_server(valkey_url, namespace):
    clock = [time.time()]
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace, wall_clock=lambda: clock[0])
        await store.set_page({"a": 1}, read_at=clock[0])
        clock[0] -= 20.0  # the clock of a process that stood still for so long

        with pytest.raises(ConfigurationError, match=r"wall_clock: is \d+\.\d s behind the server's clock"):
            await store.set_page({"k": "old"}, read_at=clock[0])
        assert await values(store) == {}


async def test_a_page_that_is_written_after_its_deadline_is_refused_and_says_so(store, other):
    read_at = store.now()
    await invalidate(other)
    with pytest.raises(StalePageError, match=r"began 11\.\d s ago; it is taken for 10\.0 s after that"):
        await store.set_page({"k": "old"}, read_at=read_at - 11.0)
    with pytest.raises(StalePageError, match=r"it is taken for 3\.0 s after that"):
        await store.set_page({"k": "old"}, read_at=read_at - 4.0, ttl=3.0)

    assert await values(store) == {}


@pytest.mark.parametrize(("off", "how"), [(60.0, "ahead of"), (-60.0, "behind")])
async def test_a_clock_that_is_far_from_the_servers_writes_no_page_and_says_so(
    valkey_url, namespace, off, how
):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace, wall_clock=lambda: time.time() + off)
        with pytest.raises(ConfigurationError, match=f"wall_clock: is 60.0 s {how} the server's clock"):
            await store.set_page({"k": "old"}, read_at=store.now())

        assert await values(store) == {}


async def test_a_clock_that_jumps_ahead_later_is_noticed_as_well(valkey_url, namespace):
    off = [0.0]
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace, wall_clock=lambda: time.time() + off[0])
        await store.set_page({"a": 1}, read_at=store.now())
        off[0] = 60.0
        with pytest.raises(ConfigurationError, match=r"wall_clock: is 60\.0 s ahead of the server's clock"):
            await store.set_page({"k": "old"}, read_at=store.now())

        assert await values(store) == {}


async def test_a_lease_of_centuries_is_one_for_all(store, other):
    leases, rival = (RedisLeases(each, seconds=1e12) for each in (store, other))
    (token,) = (await lease(leases, ["k"])).values()
    assert await lease(rival, ["k"]) == {}
    assert await leases.set_many({"k": 1}, {"k": token}) == ["k"]


async def test_a_lease_that_is_over_still_stands_for_the_removal_before_it(store, other):
    read_at = store.now()
    await invalidate(other)
    await RedisLeases(other, seconds=0.05).acquire_many(["k"], bytes(16))
    await asyncio.sleep(0.1)
    done = await store.set_page({"k": "old"}, read_at=read_at)

    assert list(done.leased) == ["k"]
    assert await values(store) == {}


@pytest.mark.parametrize("ttl", [None, 60.0])
async def test_a_page_of_many_keys_goes_through_commands_of_five_hundred(store, other, ttl):
    rows = {f"k{number}": number for number in range(1_700)}
    read_at = store.now()
    await other.set_many({"k3": "new", "k1699": "new"}, ttl=60.0)
    done = await store.set_page(rows, read_at=read_at, ttl=ttl)
    found = {key: copy.value for key, copy in (await other.get_many([*rows])).items()}

    assert (done.kept, list(done.newer)) == (1_698, ["k3", "k1699"])
    assert found == {**rows, "k3": "new", "k1699": "new"}
    await store.clear()


async def test_a_server_that_is_full_takes_no_tombstone_but_the_value_goes(valkey):
    async with connect(valkey().url) as redis:
        store = RedisStore(redis, namespace="full")
        await store.set_many({"k": "old", "j": "old"}, ttl=60.0)
        await redis.execute("CONFIG", "SET", "maxmemory", 1)
        await invalidate(store)
        assert await values(store) == {}
        await store.clear()
        assert await redis.execute("DBSIZE") == 0
