"""Redis is killed and restarted under load: only the source notices, by a bounded number of loads."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from contextlib import asynccontextmanager

import anyio
import pytest

from async_backfill import BackfillCache, CircuitState, FarTier, FreshnessPolicy, StoreError
from async_backfill.redis.connection import connect
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore

pytestmark = pytest.mark.anyio

KEYS = [f"k{number}" for number in range(100)]
OUTAGES = 3
PATIENCE = 30.0


class Counted:
    """A source that counts how often it was asked for each key."""

    def __init__(self):
        self.asked = Counter()

    async def load_many(self, keys, /):
        self.asked.update(keys)
        await asyncio.sleep(0.002)
        return {key: f"value of {key}" for key in keys}


@asynccontextmanager
async def cache_before(source, url, namespace, **settings):
    async with connect(url) as redis:
        store = RedisStore(redis, namespace=namespace)
        tier = FarTier(
            store=store,
            leases=RedisLeases(store),
            invalidations=RedisInvalidations(redis, namespace=namespace),
            **settings,
        )
        async with BackfillCache(source, far=tier, freshness=FreshnessPolicy(ttl=600.0)) as cache:
            yield cache


async def until(condition):
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await anyio.sleep(0.01)


async def all_listen(url, namespace, caches):
    """Wait until all of ``caches`` hear invalidations, and have forgotten what was there before."""
    async with connect(url) as redis:
        with anyio.fail_after(PATIENCE):
            listening = 0
            while listening < caches:
                _, listening = await redis.execute("PUBSUB", "NUMSUB", f"{namespace}!invalidations")
                await anyio.sleep(0.01)
    await anyio.sleep(0.01)


async def work(cache, draws, wrong):
    while True:
        key = draws.choice(KEYS)
        value = await cache.get(key)
        if value != f"value of {key}":
            wrong.append((key, value))
        await anyio.sleep(draws.uniform(0.0, 0.02))


async def ask_for_new_keys(cache):
    """Keep the far tier (L2) busy also while memory holds all of ``KEYS``."""
    for number in itertools.count():
        await cache.get(f"new {number}")
        await anyio.sleep(0.01)


async def test_two_hundred_workers_and_three_outages(valkey, namespace):
    source, wrong = Counted(), []
    async with cache_before(source, valkey.url, namespace) as cache, anyio.create_task_group() as tasks:
        await all_listen(valkey.url, namespace, 1)
        for number in range(200):
            tasks.start_soon(work, cache, random.Random(number), wrong)
        tasks.start_soon(ask_for_new_keys, cache)
        await until(lambda: all(cache.peek(key) is not None for key in KEYS))
        for _ in range(OUTAGES):
            seen = cache.stats.far.hits + cache.stats.far.misses
            await asyncio.to_thread(valkey.kill)
            await anyio.sleep(0.05)
            await asyncio.to_thread(valkey.restart)
            await until(lambda seen=seen: cache.stats.far.hits + cache.stats.far.misses > seen)
            await until(lambda: all(cache.peek(key) is not None for key in KEYS))
        tasks.cancel_scope.cancel()

    assert wrong == []
    assert all(source.asked[key] <= 1 + OUTAGES for key in KEYS)
    assert cache.stats.failed == 0


async def test_a_store_that_comes_back_is_used_again_without_anybody_asking_for_it(valkey, namespace):
    source = Counted()
    async with cache_before(source, valkey.url, namespace) as cache:
        await cache.get("k1")
        await asyncio.to_thread(valkey.kill)
        for number in range(5):
            await cache.get(f"k{number + 2}")
        with pytest.raises(StoreError):
            await cache.put("k1", "new")
        assert cache.stats.far.circuit is not CircuitState.CLOSED
        await asyncio.to_thread(valkey.restart)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_for_new_keys, cache)
            await until(lambda: cache.stats.far.circuit is CircuitState.CLOSED)
            tasks.cancel_scope.cancel()


async def test_a_cache_that_was_cut_off_forgets_what_others_invalidated_meanwhile(valkey, namespace):
    source = Counted()
    async with (
        cache_before(source, valkey.url, namespace) as cut_off,
        cache_before(source, valkey.url, namespace),
        connect(valkey.url) as operator,
    ):
        await all_listen(valkey.url, namespace, 2)
        await cut_off.get("k1")
        assert cut_off.peek("k1") is not None
        await operator.execute("CLIENT", "KILL", "TYPE", "pubsub")

        await until(lambda: cut_off.peek("k1") is None)


async def test_an_invalidation_reaches_the_memory_of_the_others(valkey, namespace):
    source = Counted()
    async with (
        cache_before(source, valkey.url, namespace) as one,
        cache_before(source, valkey.url, namespace) as other,
    ):
        await all_listen(valkey.url, namespace, 2)
        for cache in (one, other):
            await cache.get_many(KEYS)
        await one.invalidate("k7")
        await until(lambda: other.peek("k7") is None)
        await one.put("k8", "new")
        await until(lambda: other.peek("k8") is None)

        assert await other.get("k8") == "new"
        assert other.stats.size == len(KEYS) - 1
